"""BRAIN: takes alerts in durably, scores entries, passes exits on, and keeps the story and outcome of every
signal.
"""
