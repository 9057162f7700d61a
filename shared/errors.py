"""The errors of Phoenix, grouped by what has to be done about them.

    PhoenixError
    ├── MessageFault          the message is at fault: counts an attempt, then the dead-letter queue
    ├── DependencyDown        something we need is away: pause and try again, no attempt is counted
    │   ├── BrokerUnavailable     RabbitMQ did not confirm (`QueueRefused`: one of its queues did not)
    │   ├── DatabaseUnavailable   PostgreSQL did not answer
    │   ├── RedisUnavailable      Redis did not answer
    │   └── ExchangeUnavailable   the exchange is surely not reached: nothing was executed
    ├── ExecutionUnknown      the exchange's answer was lost: look up, never send again (P6)
    ├── ExchangeRefused       the exchange said no, and why: terminal for this request
    └── OperatorNeeded        configuration or permission: a person must act

A business refusal (a limit, a gate) is a value, never an exception. Adapters translate foreign exceptions
into these at the border; this module imports nothing.
"""


class PhoenixError(Exception):
    """Something went wrong in Phoenix; the subclass says what to do about it."""


class MessageFault(PhoenixError):
    """The message cannot be handled as it is."""


class DependencyDown(PhoenixError):
    """A server this work needs does not answer; it will be tried again."""

    def __init__(self, dependency: str, detail: str) -> None:
        super().__init__(f"{dependency} is not usable: {detail}")
        self.dependency = dependency


class BrokerUnavailable(DependencyDown):
    """RabbitMQ did not confirm the message."""

    def __init__(self, detail: str) -> None:
        super().__init__("rabbitmq", detail)


class QueueRefused(BrokerUnavailable):
    """RabbitMQ answered and did not take the message: its queue is dead or full. Others may be taken."""


class DatabaseUnavailable(DependencyDown):
    """PostgreSQL did not answer."""

    def __init__(self, detail: str) -> None:
        super().__init__("postgresql", detail)


class RedisUnavailable(DependencyDown):
    """Redis did not answer."""

    def __init__(self, detail: str) -> None:
        super().__init__("redis", detail)


class ExchangeUnavailable(DependencyDown):
    """The exchange surely did not execute the request: it may be tried again later."""

    def __init__(self, detail: str, retry_after_s: float = 0.0) -> None:
        super().__init__("exchange", detail)
        self.retry_after_s = retry_after_s


class ExecutionUnknown(PhoenixError):
    """The exchange may or may not have executed the request."""


class ExchangeRefused(PhoenixError):
    """The exchange refused the request; `code` is its own error number, 0 when it gave none."""

    def __init__(self, code: int, detail: str) -> None:
        super().__init__(f"exchange refused ({code}): {detail}")
        self.code = code
        self.detail = detail


class OperatorNeeded(PhoenixError):
    """A person has to change something before this can work."""
