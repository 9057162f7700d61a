"""Measures what DESIGN.md §14 promises, on a private system, beside what the machine could do at best."""
