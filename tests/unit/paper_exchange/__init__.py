"""Examples for every rule of the paper exchange."""
