"""Facts to words, words to channels: what is told, in which language, how loudly, at which pace."""
