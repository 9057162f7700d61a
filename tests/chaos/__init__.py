"""Chaos: a whole system, a seeded workload, seeded faults, and the promises judged at the end."""
