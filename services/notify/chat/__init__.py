"""The chat, inwards: who asks, what may be asked, what is answered. Messages outwards are in `telling`."""
