"""The local stack: private servers, the paper exchange, the services and nginx, under one process supervisor.

It knows how to lay out, start, watch and stop them on one machine; it must never touch a system-wide server
or listen anywhere but on loopback.
"""
