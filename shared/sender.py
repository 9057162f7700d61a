"""Who sent a request: the address that is counted against the rate limit.

Pure. A header is believed only from a proxy that we run; from anybody else it is a claim, and the address of
the connection counts. It must never raise: whoever cannot be told is one sender like any other.
"""

from collections.abc import Collection
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

Network = IPv4Network | IPv6Network

UNKNOWN = "unknown"
IPV6_PREFIX_BITS = 64
"""What one subscriber gets at least: he has every address of it to send from."""
ADDRESSES_KEPT_MAX = 4_096


def sender_of(peer: str | None, real_ip: str | None, trusted: Collection[Network]) -> str:
    """Return who sent a request that came from the address `peer` with the header X-Real-IP `real_ip`."""
    connected = None if peer is None else _address(peer)
    if connected is None:
        return UNKNOWN
    if real_ip is not None and is_trusted(peer, trusted):
        connected = _address(real_ip) or connected
    return _counted_as(connected)


def is_trusted(peer: str | None, trusted: Collection[Network]) -> bool:
    """Tell whether the other end of a connection is a proxy of ours, whose headers are believed."""
    connected = None if peer is None else _address(peer)
    return connected is not None and any(connected in network for network in trusted)


@lru_cache(ADDRESSES_KEPT_MAX)
def _address(text: str) -> IPv4Address | IPv6Address | None:
    try:
        address = ip_address(text.strip())
    except ValueError:
        return None
    return (isinstance(address, IPv6Address) and address.ipv4_mapped) or address


def _counted_as(address: IPv4Address | IPv6Address) -> str:
    if isinstance(address, IPv4Address) or address.is_loopback:
        return str(address)
    return str(ip_network((address, IPV6_PREFIX_BITS), strict=False))
