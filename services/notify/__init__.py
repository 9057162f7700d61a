"""NOTIFY tells the trader what happened."""
