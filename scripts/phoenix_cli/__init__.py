"""The command line of Phoenix 95. It speaks to the services over HTTP only, and never prints a secret."""
