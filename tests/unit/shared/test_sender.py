"""Who is counted: the address of the connection, unless a proxy of ours names another."""

from ipaddress import ip_network

import pytest
from pydantic import TypeAdapter

from shared.sender import UNKNOWN, sender_of
from shared.settings import LOOPBACK, Networks

TRADINGVIEW = "52.89.214.238"
COMPOSE = (ip_network("172.16.0.0/12"),)


@pytest.mark.parametrize(
    ("peer", "claimed", "counted"),
    [
        ("127.0.0.1", TRADINGVIEW, TRADINGVIEW),
        ("::1", TRADINGVIEW, TRADINGVIEW),
        ("::ffff:127.0.0.1", TRADINGVIEW, TRADINGVIEW),
        ("127.0.0.1", None, "127.0.0.1"),
        ("127.0.0.1", "not an address", "127.0.0.1"),
        ("127.0.0.1", "52.89.214.238, 1.2.3.4", "127.0.0.1"),
        ("203.0.113.9", TRADINGVIEW, "203.0.113.9"),
        ("127.0.0.2", TRADINGVIEW, "127.0.0.2"),
        (None, TRADINGVIEW, UNKNOWN),
        ("testclient", TRADINGVIEW, UNKNOWN),
    ],
)
def test_only_a_trusted_proxy_is_believed(peer: str | None, claimed: str | None, counted: str) -> None:
    assert sender_of(peer, claimed, LOOPBACK) == counted


def test_a_network_of_proxies_can_be_trusted() -> None:
    assert sender_of("172.18.0.5", TRADINGVIEW, COMPOSE) == TRADINGVIEW
    assert sender_of("172.32.0.5", TRADINGVIEW, COMPOSE) == "172.32.0.5"


def test_proxies_are_written_as_people_write_lists() -> None:
    read = TypeAdapter(Networks).validate_python
    assert read("127.0.0.1, 172.16.0.0/12,") == (ip_network("127.0.0.1"), *COMPOSE)
    assert read("") == ()


def test_nobody_is_believed_when_nobody_is_trusted() -> None:
    assert sender_of("127.0.0.1", TRADINGVIEW, ()) == "127.0.0.1"


def test_all_addresses_of_one_ipv6_subscriber_are_one_sender() -> None:
    first, other = "2001:db8:1:2::1", "2001:db8:1:2:ffff::9"
    assert sender_of(first, None, LOOPBACK) == sender_of(other, None, LOOPBACK) == "2001:db8:1:2::/64"
    assert sender_of("2001:db8:1:3::1", None, LOOPBACK) == "2001:db8:1:3::/64"


def test_an_ipv4_address_in_ipv6_clothes_is_the_same_sender() -> None:
    assert sender_of(f"::ffff:{TRADINGVIEW}", None, LOOPBACK) == TRADINGVIEW
