"""The dashboard's gate: who is there, who may come in, and whether a post is meant.

Whoever is turned away is counted always, and put on record in a bounded way: what strangers send must not
fill the audit log. It must never tell whether a name or a password was wrong.
"""

import asyncio
import secrets
import time
from collections import deque
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime

from fastapi import Request
from pydantic import SecretStr

from services.notify.chat.doorkeeper import Allowance
from services.notify.dashboard import entrance
from services.notify.dashboard.session_store import SessionStore
from services.notify.desk import Desk
from services.notify.people import Door, Person, Role, Why
from services.notify.ports import ObservesDoors
from shared import logs
from shared.sender import Network, is_trusted, sender_of

FAILED_LOGINS_PER_SENDER_MAX = 10
FAILED_LOGINS_MAX = 100
"""Wrong passwords in `LOGIN_WINDOW_S`, over all replicas, from which on nobody's next one is looked at."""
LOGINS_AT_ONCE_MAX = 20
RECORDS_PER_MINUTE_MAX = 30
"""Refusals of strangers that one replica puts on record; the metric counts the others."""
RECORD_WINDOW_S = 60.0
VIEWERS_TRIES_PER_MINUTE = 20
"""Acts that viewers may try for in vain on one replica; each is a line that is kept for ever."""
VIEWERS = 0

_log = logs.get(__name__)


@dataclass(frozen=True)
class Visitor:
    """Somebody with a session."""

    person: Person
    token: str
    key: bytes
    expires_at: datetime

    @property
    def csrf(self) -> str:
        """What the forms of this visitor bring back."""
        return entrance.csrf_of(self.token)

    @property
    def is_operator(self) -> bool:
        """Whether this visitor may act."""
        return self.person.role is Role.OPERATOR


class Gate:
    """Recognises visitors, logs them in and out, and turns away what is forged."""

    def __init__(
        self,
        sessions: SessionStore,
        desk: Desk,
        watch: ObservesDoors,
        passwords: Mapping[str, SecretStr],
        trusted_proxies: Collection[Network],
    ) -> None:
        self._sessions = sessions
        self._desk = desk
        self._watch = watch
        self._passwords = passwords
        self._trusted = trusted_proxies
        self._logging_in = asyncio.Lock()
        self._waiting = 0
        self._recorded: deque[float] = deque(maxlen=RECORDS_PER_MINUTE_MAX)
        self._tries = Allowance(VIEWERS_TRIES_PER_MINUTE, int(RECORD_WINDOW_S))

    async def visitor(self, request: Request) -> Visitor | None:
        """Return who sends this request, None when nobody is logged in; a forged cookie is put on record."""
        token = request.cookies.get(entrance.COOKIE)
        if not token:
            return None
        if len(token) > entrance.TOKEN_CHARS_MAX:
            await self.turn_away(request, "session", Why.FORGED_SESSION)
            return None
        keys = self._keys(token)
        live = await self._sessions.live(keys)
        session = next(iter(live.values()), None)
        if session is not None and keys.get(session.key) == session.name:
            await self._sessions.seen(session.key)
            return Visitor(entrance.person(session.name), token, session.key, session.expires_at)
        if not await self._sessions.is_known(keys):
            await self.turn_away(request, "session", Why.FORGED_SESSION)
        return None

    async def log_in(self, request: Request, name: str, password: str) -> str | Why:
        """Return the token of a new session, or why there is none."""
        if not entrance.is_from_own_page(request.headers):
            await self.turn_away(request, "login", Why.CROSS_SITE)
            return Why.CROSS_SITE
        if self._waiting >= LOGINS_AT_ONCE_MAX:
            self._watch.refused(Door.DASHBOARD, Why.TOO_OFTEN)
            return Why.TOO_OFTEN
        self._waiting += 1
        try:
            async with self._logging_in:  # one after the other, so that the count is true when it is asked
                return await self._judge(request, name, password)
        finally:
            self._waiting -= 1

    async def log_out(self, visitor: Visitor) -> None:
        """End this visitor's session; its streams end with it."""
        await self._sessions.finish(visitor.key)

    async def is_meant(self, request: Request, visitor: Visitor, given: str, what: str) -> bool:
        """Tell whether a post comes from a page of this session; one that does not is put on record."""
        if entrance.is_from_own_page(request.headers) and entrance.same_text(given, visitor.csrf):
            return True
        await self._refuse(visitor.person.actor, what, Why.CROSS_SITE)
        return False

    def may_try(self, visitor: Visitor) -> bool:
        """Tell whether an act of this visitor is heard; an operator's is always (P9)."""
        if visitor.is_operator or self._tries.allows(VIEWERS, time.monotonic()):
            return True
        self._watch.refused(Door.DASHBOARD, Why.ROLE)
        return False

    async def turn_away(self, request: Request, what: str, why: Why) -> None:
        """Count and record that a stranger was refused."""
        await self._refuse(self._sender(request), what, why)

    def is_behind_tls(self, request: Request) -> bool:
        """Tell whether the browser came over TLS, by the word of our own proxy."""
        claimed = request.headers.get("x-forwarded-proto")
        return request.url.scheme == "https" or (claimed == "https" and self._is_ours(request))

    async def _judge(self, request: Request, name: str, password: str) -> str | Why:
        sender = self._sender(request)
        failed = await self._sessions.failed_logins(sender)
        if failed.of_sender >= FAILED_LOGINS_PER_SENDER_MAX or failed.of_all >= FAILED_LOGINS_MAX:
            if failed.is_told:
                self._watch.refused(Door.DASHBOARD, Why.TOO_OFTEN)
            else:
                await self._desk.turn_away(Door.DASHBOARD, sender, "login", Why.TOO_OFTEN)
            return Why.TOO_OFTEN
        known = name if name in entrance.PERSONS else ""
        expected = self._passwords[known].get_secret_value() if known else secrets.token_urlsafe()
        if not entrance.same_text(password[: entrance.PASSWORD_CHARS_MAX], expected) or not known:
            await self._desk.turn_away(Door.DASHBOARD, sender, "login", Why.WRONG_PASSWORD)
            return Why.WRONG_PASSWORD
        token = secrets.token_urlsafe(entrance.TOKEN_BYTES)
        await self._sessions.begin(entrance.session_key(token, expected), entrance.person(known))
        _log.info("dashboard_login", person=known, sender=sender)
        return token

    def _keys(self, token: str) -> Mapping[bytes, str]:
        return {
            entrance.session_key(token, password.get_secret_value()): name
            for name, password in self._passwords.items()
        }

    async def _refuse(self, who: str, what: str, why: Why) -> None:
        now = time.monotonic()
        while self._recorded and now - self._recorded[0] > RECORD_WINDOW_S:
            self._recorded.popleft()
        if len(self._recorded) == RECORDS_PER_MINUTE_MAX:
            self._watch.refused(Door.DASHBOARD, why)
            return
        self._recorded.append(now)
        await self._desk.turn_away(Door.DASHBOARD, who, what, why)

    def _sender(self, request: Request) -> str:
        peer = request.client.host if request.client else None
        return f"{Door.DASHBOARD}:{sender_of(peer, request.headers.get('x-real-ip'), self._trusted)}"

    def _is_ours(self, request: Request) -> bool:
        """Tell whether our own proxy is at the other end."""
        peer = request.client.host if request.client else None
        return is_trusted(peer, self._trusted)
