"""The front door: nginx's templates, what can be set about them, and how settings become their values.

It knows nginx's configuration; it must never start, stop or ask a process.
"""
