"""The dashboard's door against a real database: logins, forged sessions, foreign posts, roles, replays.

The other services are away all the time: what does not need them must work, and what does must say so.
"""

import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from services.notify.config import NotifySettings
from services.notify.dashboard import entrance
from services.notify.dashboard.gate import FAILED_LOGINS_PER_SENDER_MAX, RECORDS_PER_MINUTE_MAX
from services.notify.notify_service import build
from shared.database import Database
from shared.lifecycle import Runtime
from tests.servers import Servers

pytestmark = pytest.mark.servers

OPERATOR = "operator-secret-1"
VIEWER = "viewer-secret-1"
BASE = "http://notify"
OWN = {"Origin": BASE}
NOWHERE = "http://127.0.0.1:9"


@dataclass
class World:
    """The database, and instances of NOTIFY before it."""

    servers: Servers
    database: Database

    @asynccontextmanager
    async def browser(self, instance: int = 0, **changes: object) -> AsyncIterator[httpx.AsyncClient]:
        """Run an instance and give a browser of its own at it."""
        given = {
            name.removeprefix("PHOENIX_").lower(): value for name, value in self.servers.settings.items()
        }
        away = dict.fromkeys(("brain_url", "risk_url", "execute_url", "notify_url"), NOWHERE)
        passwords = {"dashboard_operator_password": OPERATOR, "dashboard_viewer_password": VIEWER}
        runtime = Runtime(name="notify", instance=instance)
        settings = NotifySettings.model_validate(given | away | passwords | changes)
        transport = httpx.ASGITransport(app=await build(runtime, settings))
        async with httpx.AsyncClient(transport=transport, base_url=BASE) as client:
            try:
                yield client
            finally:
                await runtime.stop()

    async def audit(self) -> list[tuple[str, str, str, str | None]]:
        """Return the audit log as (actor, act, result, why), the oldest first."""
        rows = await self.database.fetch(
            "SELECT actor, act, result, detail ->> 'why' AS why FROM audit_log WHERE id > $1 ORDER BY id",
            self.seen,
        )
        return [tuple(row) for row in rows]

    seen: int = 0


@pytest.fixture
async def world(servers: Servers) -> AsyncIterator[World]:
    async with AsyncExitStack() as stack:
        admin = await stack.enter_async_context(
            Database(
                servers.postgres_url,
                user="phoenix_admin",
                password=servers.password("admin"),
                schema="notify",
                name="test",
            )
        )
        await admin.execute("DELETE FROM audit_log")  # which NOTIFY itself may not
        await admin.execute("DELETE FROM user_sessions")
        yield World(servers, admin)


async def log_in(client: httpx.AsyncClient, name: str, password: str, **headers: str) -> httpx.Response:
    form = {"name": name, "password": password, "to": "/dashboard"}
    return await client.post("/dashboard/login", data=form, headers={**OWN, **headers})


async def csrf_of(client: httpx.AsyncClient) -> str:
    page = await client.get("/dashboard/risk")
    assert page.status_code == 200, page.text
    found = re.search(r'name="csrf" value="([0-9a-f]{64})"', page.text)
    assert found
    return found[1]


async def act(client: httpx.AsyncClient, path: str = "", headers: Any = None, **form: str) -> httpx.Response:
    return await client.post(f"/dashboard/acts{path}", data=form, headers={**OWN, **(headers or {})})


def token_of(dialog: str) -> str:
    found = re.search(r'name="token" value="([^"]+)"', dialog)
    assert found, dialog
    return found[1]


async def test_who_is_not_logged_in_sees_the_login_only(world: World) -> None:
    async with world.browser() as client:
        for path in ("", "/chart", "/signals", "/signals/sig-1", "/risk", "/system"):
            answer = await client.get(f"/dashboard{path}")
            assert answer.status_code == 303
            assert answer.headers["location"].startswith("/dashboard/login")
        for path in ("/events", "/session"):
            assert (await client.get(f"/dashboard{path}")).status_code == 401
        for path in ("/feeds/equity", "/feeds/candles?symbol=BTCUSDT"):
            assert (await client.get(f"/dashboard{path}")).status_code == 303
        assert (await act(client, act="halt")).status_code == 303


async def test_a_session_made_at_one_replica_serves_at_every_other_and_ends_at_all(world: World) -> None:
    async with world.browser(0) as one, world.browser(1) as two:
        answer = await log_in(one, "operator", OPERATOR)
        assert answer.status_code == 303
        cookie = answer.headers["set-cookie"]
        assert all(word in cookie for word in ("HttpOnly", "SameSite=strict", "Path=/dashboard"))
        two.cookies = one.cookies

        assert (await two.get("/dashboard")).status_code == 200
        out = await two.post("/dashboard/logout", data={"csrf": await csrf_of(two)}, headers=OWN)

        assert out.headers["location"] == "/dashboard/login"
        assert (await one.get("/dashboard")).status_code == 303
    assert await world.audit() == []  # an old cookie is not a forged one


async def test_the_cookie_is_for_tls_only_where_our_proxy_says_so(world: World) -> None:
    async with world.browser() as client:
        plain = await log_in(client, "viewer", VIEWER)
        secure = await log_in(client, "viewer", VIEWER, **{"X-Forwarded-Proto": "https"})
    async with world.browser(1, trusted_proxies="10.0.0.1") as client:
        claimed = await log_in(client, "viewer", VIEWER, **{"X-Forwarded-Proto": "https"})

    assert "Secure" not in plain.headers["set-cookie"]
    assert "Secure" in secure.headers["set-cookie"]
    assert "Secure" not in claimed.headers["set-cookie"]


async def test_another_password_ends_the_sessions_of_the_former_one(world: World) -> None:
    async with world.browser() as before:
        await log_in(before, "operator", OPERATOR)
        async with world.browser(1, dashboard_operator_password="another-secret-1") as after:
            after.cookies = before.cookies
            assert (await after.get("/dashboard")).status_code == 303


async def test_an_idle_session_ends(world: World) -> None:
    async with world.browser() as client:
        await log_in(client, "operator", OPERATOR)
        await world.database.execute("UPDATE user_sessions SET seen_at = now() - interval '61 minutes'")

        assert (await client.get("/dashboard")).status_code == 303


async def test_wrong_passwords_are_told_and_counted_over_replicas_and_soon_not_looked_at(
    world: World,
) -> None:
    async with world.browser(0) as one, world.browser(1) as two:
        for number in range(FAILED_LOGINS_PER_SENDER_MAX):
            answer = await log_in((one, two)[number % 2], "operator", "wrong")
            assert answer.status_code == 401
            assert "Wrong user or password." in answer.text
        for client in (one, two):
            assert (await log_in(client, "operator", OPERATOR)).status_code == 429
        elsewhere = await log_in(one, "operator", OPERATOR, **{"X-Real-IP": "192.0.2.9"})

    assert elsewhere.status_code == 303
    refused = [why for _, what, _, why in await world.audit() if what == "login"]
    assert refused == ["wrong_password"] * FAILED_LOGINS_PER_SENDER_MAX + ["too_often"]


async def test_a_forged_session_is_refused_and_put_on_record_in_a_bounded_way(world: World) -> None:
    async with world.browser() as client:
        for number in range(RECORDS_PER_MINUTE_MAX + 10):
            client.cookies.set(entrance.COOKIE, f"forged-{number}", path="/dashboard")
            assert (await client.get("/dashboard/session")).status_code == 401
            client.cookies.clear()
        client.cookies.set(entrance.COOKIE, "x" * 5_000, path="/dashboard")
        assert (await client.get("/dashboard")).status_code == 303

    lines = await world.audit()
    assert set(lines) == {("dashboard:127.0.0.1", "session", "refused", "forged_session")}
    assert len(lines) == RECORDS_PER_MINUTE_MAX


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": BASE, "Sec-Fetch-Site": "cross-site"},
        {"Origin": "null"},
    ],
)
async def test_a_post_of_another_site_is_refused_with_the_right_token_even(
    world: World, headers: dict[str, str]
) -> None:
    async with world.browser() as client:
        await log_in(client, "operator", OPERATOR)
        token = {"X-CSRF-Token": await csrf_of(client)}
        assert (await act(client, headers=headers | token, act="halt")).status_code == 403
        assert (await act(client, "/confirm", headers=headers | token, token="x")).status_code == 403
        assert (await log_in(client, "operator", OPERATOR, **headers)).status_code == 403

    assert [line[3] for line in await world.audit()] == ["cross_site"] * 3


async def test_a_post_without_the_sessions_token_is_refused(world: World) -> None:
    async with world.browser() as client, world.browser(1) as other:
        await log_in(client, "operator", OPERATOR)
        await log_in(other, "operator", OPERATOR)
        of_another_session = {"X-CSRF-Token": await csrf_of(other)}

        assert (await act(client, act="halt")).status_code == 403
        assert (await act(client, act="halt", headers=of_another_session)).status_code == 403
        assert (await client.post("/dashboard/logout", headers=OWN)).status_code == 403
        assert (await client.get("/dashboard/session")).status_code == 204

    assert [line[:2] for line in await world.audit()] == [
        ("dashboard:operator", "propose"),
        ("dashboard:operator", "propose"),
        ("dashboard:operator", "logout"),
    ]


async def test_a_viewer_has_no_buttons_and_is_refused_all_the_same(world: World) -> None:
    async with world.browser() as client:
        await log_in(client, "viewer", VIEWER)
        page = (await client.get("/dashboard")).text
        answer = await act(client, act="halt", headers={"X-CSRF-Token": await csrf_of(client)})

    assert "hx-post" not in page
    assert answer.status_code == 403
    assert "a viewer may look and not act" in answer.text
    assert await world.audit() == [("dashboard:viewer", "halt", "refused", "role")]


async def test_a_viewer_is_not_shown_the_audit_log(world: World) -> None:
    async with world.browser() as client:
        await log_in(client, "viewer", "wrong")
        await log_in(client, "viewer", VIEWER)
        seen_by_viewer = (await client.get("/dashboard/system")).text
        await log_in(client, "operator", OPERATOR)
        seen_by_operator = (await client.get("/dashboard/system")).text

    assert "wrong_password" not in seen_by_viewer
    assert "wrong_password" in seen_by_operator


async def test_a_confirmation_serves_once_and_only_who_asked(world: World) -> None:
    async with world.browser() as client:
        await log_in(client, "operator", OPERATOR)
        proof = {"X-CSRF-Token": await csrf_of(client)}
        token = token_of((await act(client, act="halt", headers=proof)).text)

        first = await act(client, "/confirm", token=token, headers=proof)
        again = await act(client, "/confirm", token=token, headers=proof)
        invented = await act(client, "/confirm", token="invented", headers=proof)

    assert first.status_code == 200
    assert "risk cannot be reached" in first.text  # it was tried, and the page says what became of it
    assert again.status_code == invented.status_code == 403
    assert [line[1:] for line in await world.audit()] == [
        ("halt", "proposed", None),
        ("halt", "confirmed", None),
        ("halt", "failed", None),
        ("confirm", "refused", "confirmation_used"),
        ("confirm", "refused", "confirmation_unknown"),
    ]


async def test_what_was_taken_back_cannot_be_confirmed(world: World) -> None:
    async with world.browser() as client:
        await log_in(client, "operator", OPERATOR)
        proof = {"X-CSRF-Token": await csrf_of(client)}
        token = token_of((await act(client, act="close", symbol="BTCUSDT", headers=proof)).text)
        await act(client, "/withdraw", token=token, headers=proof)

        assert (await act(client, "/confirm", token=token, headers=proof)).status_code == 403


@pytest.mark.parametrize(
    "form", [{"act": "explode"}, {"act": "close"}, {"act": "halt", "symbol": "BTCUSDT"}, {}]
)
async def test_an_act_that_does_not_exist_is_explained(world: World, form: dict[str, str]) -> None:
    async with world.browser() as client:
        await log_in(client, "operator", OPERATOR)
        answer = await act(client, headers={"X-CSRF-Token": await csrf_of(client)}, **form)

    assert answer.status_code == 422
    assert "Known acts" in answer.json()["detail"]


async def test_every_page_shows_what_is_there_while_the_services_are_away(world: World) -> None:
    async with world.browser() as client:
        await log_in(client, "operator", OPERATOR)
        pages = {
            name: await client.get(f"/dashboard/{name}") for name in ("chart", "signals", "risk", "system")
        }
        story = await client.get("/dashboard/signals/sig-unknown")
        unknown = await client.get("/dashboard/nonsense")

    assert [page.status_code for page in pages.values()] == [200] * 4
    assert "risk cannot be reached" in pages["risk"].text
    assert "signal_processing" in pages["system"].text
    assert "brain cannot be reached" in story.text
    assert unknown.status_code == 404
    for page in (*pages.values(), story):
        assert "default-src 'self'" in page.headers["content-security-policy"]
        assert page.headers["cache-control"] == "no-store"
        assert page.headers["x-frame-options"] == "DENY"


async def test_no_secret_is_shown_among_the_settings(world: World) -> None:
    async with world.browser() as client:
        await log_in(client, "operator", OPERATOR)
        page = (await client.get("/dashboard/system")).text

    assert "PHOENIX_DASHBOARD_OPERATOR_PASSWORD" in page
    secrets = [value for name, value in world.servers.settings.items() if "PASSWORD" in name or "KEY" in name]
    assert [value for value in (OPERATOR, VIEWER, *secrets) if value in page] == []


async def test_markup_in_a_filter_stays_text(world: World) -> None:
    async with world.browser() as client:
        await log_in(client, "operator", OPERATOR)
        answer = await client.get("/dashboard/chart", params={"symbol": '"><script>alert(1)</script>'})

    assert "<script>alert" not in answer.text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in answer.text


async def test_a_form_beyond_any_of_ours_is_not_read(world: World) -> None:
    async with world.browser() as client:
        answer = await log_in(client, "operator", "x" * 10_000)

    assert answer.status_code == 413
