"""RISK decides: three stages of checks and the reservation, in one transaction."""
