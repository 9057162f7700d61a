"""EXECUTE trades: the only service that talks to the exchange."""
