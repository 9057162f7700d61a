"""WebSocket connections and who listens to what.

Knows connections, stream names, listen keys and their bounds. Must never know prices or accounts: others
hand it finished events. A connection that does not read loses nothing silently: its queue is bounded, and
it is dropped.
"""

import asyncio
import secrets
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

import orjson
from aiohttp import WSCloseCode, WSMsgType, web

from infrastructure.paper_exchange.errors import ApiError
from infrastructure.paper_exchange.values import Payload

QUEUE_MESSAGES_MAX = 10_000
STREAMS_PER_CONNECTION_MAX = 1_024
INBOUND_PER_SECOND_MAX = 10
INBOUND_BYTES_MAX = 64 * 1024
CONNECTIONS_MAX = 500
HEARTBEAT_S = 180.0
CONNECTION_AGE_MAX_S = 86_400.0
LISTEN_KEY_MS = 60 * 60_000

Clock = Callable[[], int]

# Which address serves which channels; a stream asked for at the wrong address is accepted and stays silent,
# as on the real exchange. The last part of a name decides (`btcusdt@kline_1m` is a kline).
_CATEGORIES: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("public", ("bookTicker", "depth", "trade")),
    ("market", ("aggTrade", "kline_", "markPrice", "miniTicker", "ticker", "forceOrder")),
)


def category_of(stream: str) -> str:
    """The category of a stream's name; whatever is no channel is private, like a listen key."""
    name, _, channel = stream.partition("@")
    channel = name[1:] if name.startswith("!") else channel
    for category, beginnings in _CATEGORIES:
        if channel.startswith(beginnings):
            return category
    return "private"


class Connection:
    """One WebSocket: its subscriptions and its outgoing queue."""

    def __init__(self, socket: web.WebSocketResponse, category: str, *, combined: bool) -> None:
        self.streams: set[str] = set()
        self.category = category
        self._socket = socket
        self._combined = combined
        self._queue: deque[bytes] = deque()
        self._wake = asyncio.Event()
        self._closing = False

    def send_event(self, stream: str, encoded: bytes) -> None:
        """Queue an event, wrapped with its stream's name on combined connections."""
        if self._combined:
            encoded = b'{"stream":' + orjson.dumps(stream) + b',"data":' + encoded + b"}"
        self.send(encoded)

    def send(self, encoded: bytes) -> None:
        """Queue a message; a reader that is too slow is closed."""
        if len(self._queue) >= QUEUE_MESSAGES_MAX:
            self.close()
            return
        self._queue.append(encoded)
        self._wake.set()

    def close(self) -> None:
        """Ask the writer to close the socket."""
        self._closing = True
        self._wake.set()

    async def write(self) -> None:
        """Send what is queued until the connection is closed."""
        while not self._closing:
            await self._wake.wait()
            self._wake.clear()
            while self._queue and not self._closing:
                await self._socket.send_str(self._queue.popleft().decode())
        await self._socket.close(code=WSCloseCode.GOING_AWAY)


class StreamHub:
    """All connections, the streams they want, and the listen key of the user data stream."""

    def __init__(self, clock: Clock, listen_key_ms: int = LISTEN_KEY_MS) -> None:
        self._clock = clock
        self._connections: set[Connection] = set()
        self._subscribers: dict[str, set[Connection]] = {}
        self._listen_key = ""
        self._listen_key_ms = listen_key_ms
        self._expires_ms = 0

    # -- publishing --------------------------------------------------------------------------------

    @property
    def wanted(self) -> list[str]:
        """Names of the streams that somebody listens to."""
        return list(self._subscribers)

    def publish(self, stream: str, event: Payload | list[Payload]) -> None:
        """Send an event to everybody who listens to the stream."""
        listeners = self._subscribers.get(stream)
        if listeners:
            encoded = orjson.dumps(event)
            for connection in tuple(listeners):
                connection.send_event(stream, encoded)

    @property
    def is_user_heard(self) -> bool:
        """Whether somebody listens to the user data stream."""
        return self._listen_key in self._subscribers

    def publish_user(self, events: Iterable[Payload]) -> None:
        """Send user data events to whoever listens to the listen key."""
        if self.is_user_heard:
            for event in events:
                self.publish(self._listen_key, event)

    # -- listen key --------------------------------------------------------------------------------

    def open_listen_key(self) -> str:
        """The active listen key, extended; a new one when there is none."""
        if not self._listen_key:
            self._listen_key = secrets.token_hex(32)
        self._expires_ms = self._clock() + self._listen_key_ms
        return self._listen_key

    def extend_listen_key(self) -> str:
        """Extend the active listen key; raises -1125 when there is none."""
        if not self._listen_key:
            raise ApiError(-1125)
        return self.open_listen_key()

    def close_listen_key(self) -> None:
        """Forget the listen key and close its connections."""
        self.close_listeners()
        self._listen_key = ""

    def close_listeners(self) -> int:
        """Close the connections of the listen key, which stays; returns how many there were."""
        listeners = tuple(self._subscribers.get(self._listen_key, ()))
        for connection in listeners:
            connection.close()
        return len(listeners)

    def is_listen_key(self, key: str) -> bool:
        """Whether this is the active listen key."""
        return bool(key) and key == self._listen_key

    def expire_listen_key(self) -> None:
        """Let a key end that nobody extended in time."""
        if self._clock() >= self._expires_ms:
            self.end_listen_key()

    def end_listen_key(self) -> bool:
        """Tell the listeners that their key has expired, and forget it; returns whether there was one."""
        key = self._listen_key
        if key:
            self.publish_user([{"e": "listenKeyExpired", "E": self._clock(), "listenKey": key}])
            self._listen_key = ""
        return bool(key)

    # -- connections -------------------------------------------------------------------------------

    async def serve(
        self, request: web.Request, streams: Iterable[str], category: str, *, combined: bool
    ) -> web.WebSocketResponse:
        """Serve one WebSocket of a category until either side closes it."""
        if len(self._connections) >= CONNECTIONS_MAX:
            raise web.HTTPServiceUnavailable(text="too many connections")
        socket = web.WebSocketResponse(heartbeat=HEARTBEAT_S, max_msg_size=INBOUND_BYTES_MAX, compress=False)
        await socket.prepare(request)
        connection = Connection(socket, category, combined=combined)
        self._connections.add(connection)
        self._subscribe(connection, streams)
        writer = asyncio.create_task(connection.write())
        expiry = asyncio.get_running_loop().call_later(CONNECTION_AGE_MAX_S, connection.close)
        try:
            await self._read(socket, connection)
        finally:
            expiry.cancel()
            writer.cancel()
            self._unsubscribe(connection, tuple(connection.streams))
            self._connections.discard(connection)
            await asyncio.gather(writer, return_exceptions=True)
        return socket

    def close_all(self) -> None:
        """Ask every connection to close."""
        for connection in tuple(self._connections):
            connection.close()

    async def _read(self, socket: web.WebSocketResponse, connection: Connection) -> None:
        second, count = 0, 0
        async for message in socket:
            now_s = self._clock() // 1000
            second, count = (now_s, 1) if now_s != second else (second, count + 1)
            if count > INBOUND_PER_SECOND_MAX:
                connection.close()
                return
            if message.type is WSMsgType.TEXT:
                connection.send(orjson.dumps(self._answer(connection, message.data)))

    def _answer(self, connection: Connection, text: str) -> Payload:
        try:
            request = orjson.loads(text)
            number, method = request["id"], request["method"]
            streams = [str(stream) for stream in request.get("params") or []]
        except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError):
            return _error("Invalid JSON: expected id, method and params", None)
        if method == "SUBSCRIBE":
            if len(connection.streams) + len(streams) > STREAMS_PER_CONNECTION_MAX:
                return _error("Too many streams", number)
            self._subscribe(connection, streams)
        elif method == "UNSUBSCRIBE":
            self._unsubscribe(connection, streams)
        elif method == "LIST_SUBSCRIPTIONS":
            return {"result": sorted(connection.streams), "id": number}
        else:
            return _error(f"unknown method {method}", number)
        return {"result": None, "id": number}

    def _subscribe(self, connection: Connection, streams: Iterable[str]) -> None:
        for stream in streams:
            connection.streams.add(stream)
            if category_of(stream) == connection.category:
                self._subscribers.setdefault(stream, set()).add(connection)

    def _unsubscribe(self, connection: Connection, streams: Iterable[str]) -> None:
        for stream in streams:
            connection.streams.discard(stream)
            listeners = self._subscribers.get(stream, set())
            listeners.discard(connection)
            if not listeners:
                self._subscribers.pop(stream, None)


def _error(text: str, number: Any) -> Payload:
    return {"error": {"code": 2, "msg": f"Invalid request: {text}"}, "id": number}
