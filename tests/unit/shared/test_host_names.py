"""Under which names the open reads answer: never under one that a web page could have."""

import pytest

from shared.host_names import is_local, may_be_asked


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1:8102",
        "192.168.1.20",
        "[::1]:8102",
        "localhost:8100",
        "LOCALHOST",
        "brain",
        "brain:8111",
        "trader.lan:8103",
        "brain.phoenix.svc.cluster.local:8100",
        "localhost.:8100",
        "",
    ],
)
def test_addresses_and_names_nobody_can_register_are_answered(host: str) -> None:
    assert is_local(host)


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:8102",
        "127.0.0.1.evil.example",
        "localhost.evil.example:8100",
        "evil.example.",
        "evil.local.example",
        "a@evil.example",
        "[::1",
        ":8100",
    ],
)
def test_a_name_that_a_page_could_have_is_not(host: str) -> None:
    assert not is_local(host)
    assert not may_be_asked("/positions", host)


@pytest.mark.parametrize(
    "path", ["/webhook/tradingview", "/webhook", "/health", "/dashboard", "/dashboard/login"]
)
def test_what_has_a_proof_of_its_own_may_stand_behind_a_domain(path: str) -> None:
    assert may_be_asked(path, "phoenix.example.com")
