"""Who may pass the dashboard's door: cookies keyed by the password, forms of the session, own pages only."""

import pytest

from services.notify.dashboard import entrance, replies

PORT = "127.0.0.1:8103"


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": f"http://{PORT}", "host": PORT, "sec-fetch-site": "same-origin"},
        {"origin": f"http://{PORT}", "host": "127.0.0.1", "sec-fetch-site": "same-origin"},  # behind a proxy
        {"origin": "https://desk.example", "host": "desk.example"},
        {"host": PORT, "sec-fetch-site": "same-origin"},
    ],
)
def test_a_post_of_our_own_page_is_taken(headers: dict[str, str]) -> None:
    assert entrance.is_from_own_page(headers)


@pytest.mark.parametrize(
    "headers",
    [
        {"host": PORT},  # no browser: says nothing
        {"origin": "null", "host": PORT},
        {"origin": "https://evil.example", "host": PORT},
        {"origin": "http://127.0.0.1:3000", "host": PORT},  # another program of this machine
        {"origin": "http://127.0.0.1:3000", "host": "127.0.0.1", "sec-fetch-site": "same-site"},
        {"origin": f"http://{PORT}", "host": PORT, "sec-fetch-site": "cross-site"},
        {"origin": f"http://{PORT}.evil.example", "host": PORT},
        {"origin": "http://[broken", "host": PORT},
        {"origin": f"http://{PORT}", "host": ""},
    ],
)
def test_a_post_of_any_other_page_is_not(headers: dict[str, str]) -> None:
    assert not entrance.is_from_own_page(headers)


def test_a_session_is_not_found_again_under_another_password() -> None:
    before = entrance.session_key("token", "the password")

    assert before == entrance.session_key("token", "the password")
    assert before != entrance.session_key("token", "the new password")
    assert b"token" not in before


def test_a_form_is_tied_to_its_session() -> None:
    assert entrance.csrf_of("one") == entrance.csrf_of("one")
    assert entrance.csrf_of("one") != entrance.csrf_of("other")


@pytest.mark.parametrize(
    "given",
    [
        "https://evil.example",
        "//evil.example",
        "/dashboardevil",
        "/dashboard\\@evil",
        "javascript:alert(1)",
        "/dashboard/\r\nX: 1",
        "",
    ],
)
def test_the_login_leads_nowhere_else(given: str) -> None:
    assert replies.own_address(given) == "/dashboard"


def test_the_login_leads_back_to_where_one_wanted_to_go() -> None:
    assert replies.own_address("/dashboard/signals?symbol=BTCUSDT") == "/dashboard/signals?symbol=BTCUSDT"
