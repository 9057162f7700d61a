"""Drills: whether the promises held, judged from the exchange's and the database's final truth."""
