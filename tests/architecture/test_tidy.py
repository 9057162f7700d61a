"""Rules that no tool knows by itself. Each names the accident it prevents; excuses stand with a reason."""

import ast
import re
from collections.abc import Iterator

from tests.architecture.source import (
    PRODUCTION,
    REPOSITORY,
    Finding,
    Module,
    broken,
    modules,
    rule_modules,
    told,
    tracked,
)

MODULE_LINES_MAX = 400
FUNCTION_LINES_MAX = 70

Found = Iterator[tuple[int, str]]


def test_modules_stay_small() -> None:
    """A module that is too long to read is changed without being read."""

    def too_long(module: Module) -> Found:
        lines = module.text.count("\n")
        if lines > MODULE_LINES_MAX:
            yield lines, f"has {lines} lines, more than {MODULE_LINES_MAX}: split it by what it knows"

    assert not (found := broken(too_long, modules(*PRODUCTION))), told(found)


def test_functions_stay_small() -> None:
    """A branch on the second page of a function is the one that nobody tested."""

    def too_long(module: Module) -> Found:
        for function in module.functions():
            lines = (function.end_lineno or function.lineno) - function.lineno + 1
            if lines > FUNCTION_LINES_MAX:
                yield function.lineno, f"{function.name} has {lines} lines, more than {FUNCTION_LINES_MAX}"

    assert not (found := broken(too_long, modules(*PRODUCTION))), told(found)


def test_every_module_says_what_it_is_for() -> None:
    """Without a sentence on top, a module collects whatever has no other home."""

    def silent(module: Module) -> Found:
        if not ast.get_docstring(module.tree):
            yield 1, "has no docstring: what does it know, what must it never do?"

    assert not (found := broken(silent, modules(*PRODUCTION))), told(found)


def test_nothing_is_left_to_be_done_later() -> None:
    """A note to oneself in the code is read by nobody; the issue list is."""
    note = re.compile(r"\b(TO" + r"DO|FIX" + r"ME|XX" + r"X|HA" + r"CK)\b")
    found = [
        Finding(path, number, line.strip())
        for path in tracked(".py", ".sql", ".sh", ".ps1", ".yml", ".yaml", ".toml", ".conf")
        for number, line in enumerate((REPOSITORY / path).read_text(encoding="utf-8").splitlines(), 1)
        if note.search(line)
    ]
    assert not found, told(found)


def test_one_place_asks_what_time_it_is() -> None:
    """Code that reads the wall clock by itself cannot be replayed (P11), and one day reads it naive."""

    def asks(module: Module) -> Found:
        for name, call in module.calls():
            if re.search(r"\b(datetime|date)\.(now|utcnow|today)$|^time\.time(_ns)?$", name):
                yield call.lineno, f"{name}(): take `now` as an argument, or a Clock"

    excused = {
        "shared/clock.py": "the one place",
        "infrastructure/paper_exchange/server.py": "hands the time to its pure core",
    }
    assert not (found := broken(asks, modules(*PRODUCTION), excused)), told(found)


def test_rules_do_not_calculate_in_floats() -> None:
    """0.1 + 0.2 is not 0.3: a limit is passed, a size is a step too large, a price is off its tick."""

    def calculates(module: Module) -> Found:
        for name, call in module.calls():
            if name == "float":
                yield call.lineno, "float(): money is Decimal"
        for node in ast.walk(module.tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, float) and node.value:
                yield node.lineno, f'{node.value}: write Decimal("{node.value}")'

    excused = {
        "services/brain/indicators.py": "chart indicators: floats inside, Decimal at the marked border",
        "services/execute/call_gate.py": "seconds to wait",
        "services/notify/telling/pacing.py": "seconds to wait",
        "infrastructure/paper_exchange/prices.py": "a random walk; what comes out is put on its tick",
        "infrastructure/paper_exchange/views.py": "the exchange sends these as JSON numbers",
    }
    assert not (found := broken(calculates, rule_modules(), excused)), told(found)


def test_everything_is_caught_in_one_place_only() -> None:
    """`except Exception` around an order hides the answer \"unknown\", and the order is sent again (P6).

    A handler that only tidies up and raises again hides nothing.
    """

    def catches(module: Module) -> Found:
        for node in ast.walk(module.tree):
            if not isinstance(node, ast.ExceptHandler) or isinstance(node.body[-1], ast.Raise):
                continue
            kinds = node.type.elts if isinstance(node.type, ast.Tuple) else [node.type]
            names = {"everything" if kind is None else ast.unparse(kind) for kind in kinds}
            if names & {"everything", "Exception", "BaseException"}:
                yield node.lineno, "catches everything: name what is handled, or use shared.supervision"

    excused = {
        "shared/supervision.py": "the one place",
        "shared/logs.py": "P13: a log call cannot raise; what is lost is counted",
        "shared/log_sink.py": "the same",
    }
    assert not (found := broken(catches, modules(*PRODUCTION), excused)), told(found)


def test_metrics_are_defined_in_one_module() -> None:
    """A metric that is defined where it is used gets a second name, and its panel stays empty."""

    def defines(module: Module) -> Found:
        for name, call in module.calls():
            if name.split(".")[-1] in {"Counter", "Gauge", "Histogram", "Summary"} and _has_text(call):
                yield call.lineno, f"{name}(…) belongs into shared/metrics.py"

    excused = {"shared/metrics.py": "the one place"}
    assert not (found := broken(defines, modules("services", "shared", "infrastructure"), excused)), told(
        found
    )


def test_the_environment_is_read_by_the_settings_only() -> None:
    """A variable that is read somewhere inside is in no table, has no range, and is missing in production."""

    def reads(module: Module) -> Found:
        for node in ast.walk(module.tree):
            if isinstance(node, ast.Attribute) and ast.unparse(node) in {"os.environ", "os.getenv"}:
                yield node.lineno, f"{ast.unparse(node)}: make it a setting"

    excused = {
        "shared/settings.py": "the one place",
        "services/notify/telegram_bot.py": "a switch of the library's, set before it is imported",
        "infrastructure/containers/__main__.py": "compose passes the settings of .env on",
        "infrastructure/local/__main__.py": "start.sh passes the caller's settings on",
        "infrastructure/local/layout.py": "looks for the servers' programs in PATH",
        "infrastructure/local/preparation.py": "passes locale and path on to the servers",
        "scripts/phoenix_cli/installation.py": "finds the installation that the caller means",
    }
    assert not (found := broken(reads, modules(*PRODUCTION), excused)), told(found)


def test_no_wait_swallows_a_cancellation() -> None:
    """Until Python 3.12 `asyncio.wait_for` loses a cancellation that arrives as its work completes: the loop
    around it goes on, and the service cannot be stopped.
    """

    def waits(module: Module) -> Found:
        for name, call in module.calls():
            if name == "asyncio.wait_for":
                yield call.lineno, "use shared.supervision.within, or asyncio.timeout"

    assert not (found := broken(waits, modules(*PRODUCTION), WAITS_FOR)), told(found)


WAITS_FOR = {
    "infrastructure/paper_exchange/server.py": "no loop of a runtime",
    "services/execute/binance_client.py": "closing, once",
}


def test_every_wait_on_a_server_has_a_limit() -> None:
    """A call without a limit hangs exactly when the server does, and takes its consumer with it."""
    needs = {
        "asyncpg.create_pool": {"timeout", "command_timeout"},
        "asyncpg.connect": {"timeout"},
        "aio_pika.connect_robust": {"timeout", "heartbeat"},
        "Redis.from_url": {"socket_timeout", "socket_connect_timeout"},
        "httpx.AsyncClient": {"timeout"},
        "httpx.Client": {"timeout"},
        "httpx.get": {"timeout"},
        "httpx.post": {"timeout"},
        "aiohttp.ClientSession": {"timeout"},
        "urlopen": {"timeout"},
        "urllib.request.urlopen": {"timeout"},
        "subprocess.run": {"timeout"},
        "asyncio.Queue": {"maxsize"},
    }

    def waits(module: Module) -> Found:
        for name, call in module.calls():
            given = {keyword.arg for keyword in call.keywords}
            missing = needs.get(name, set()) - given
            if missing and not (name == "asyncio.Queue" and call.args):
                yield call.lineno, f"{name}(…) without {', '.join(sorted(missing))}"

    assert not (found := broken(waits, modules(*PRODUCTION))), told(found)


def test_limits_have_names() -> None:
    """A bare number as a time-out cannot be found, compared with its neighbours, or explained."""

    def is_bare(module: Module) -> Found:
        for name, call in module.calls():
            values = [keyword.value for keyword in call.keywords if "timeout" in (keyword.arg or "")]
            if name in {"asyncio.sleep", "asyncio.timeout", "time.sleep"}:
                values += call.args
            for value in values:
                if isinstance(value, ast.Constant) and isinstance(value.value, int | float) and value.value:
                    yield call.lineno, f"{name}(… {value.value}): name it as a constant, units last"

    assert not (found := broken(is_bare, modules(*PRODUCTION), BARE_LIMITS)), told(found)


BARE_LIMITS = {"services/execute/market_feed.py": "the second of a gauge"}


def test_a_service_speaks_sql_in_its_store_only() -> None:
    """A statement elsewhere is outside the transaction that makes inbox, effect and outbox one."""
    statement = re.compile(r"\s*(SELECT\s|INSERT INTO\s|UPDATE\s\w+\sSET|DELETE FROM\s|WITH\s\w+\sAS)")

    def speaks(module: Module) -> Found:
        if module.path.endswith("store.py"):
            return
        for node in ast.walk(module.tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and statement.match(node.value):
                yield node.lineno, "SQL outside the store"

    assert not (found := broken(speaks, modules("services"))), told(found)


def test_korean_is_in_the_interface_and_not_in_the_code() -> None:
    """Whoever is called at night reads the code in one language."""
    hangul = re.compile("[\u1100-\u11ff\u3130-\u318f\uac00-\ud7a3]")

    def is_korean(module: Module) -> Found:
        for number, line in enumerate(module.text.splitlines(), 1):
            if hangul.search(line):
                yield number, "Korean outside the texts"

    code = [module for module in modules(*PRODUCTION) if module.path not in KOREAN_TEXTS]
    assert not (found := broken(is_korean, code)), told(found)


KOREAN_TEXTS = {
    "services/notify/chat/texts.py",
    "services/notify/dashboard/texts.py",
    "services/notify/dashboard/texts_ko.py",
    "services/notify/telling/headline_ko.py",
    "services/notify/telling/story_ko.py",
    "services/notify/telling/texts_ko.py",
}


def test_no_test_waits_for_time_to_pass() -> None:
    """A fixed sleep is too short on a busy machine and too long on every other; wait for a condition."""

    def sleeps(module: Module) -> Found:
        for function in module.functions():
            if not function.name.startswith("test_"):
                continue
            for node in ast.walk(function):
                if isinstance(node, ast.Call) and ast.unparse(node.func) in {"asyncio.sleep", "time.sleep"}:
                    if isinstance(node.args[0], ast.Constant) and node.args[0].value == 0:
                        continue
                    yield node.lineno, f"{ast.unparse(node)}: use tests.eventually"

    assert not (found := broken(sleeps, modules("tests"), SLEEPING_TESTS)), told(found)


SLEEPING_TESTS = {
    "tests/integration/test_execute_service.py": "the moment of death is what the test varies",
    "tests/unit/shared/test_supervision.py": "the sleep is what must be cancelled",
}


def _has_text(call: ast.Call) -> bool:
    """A metric has a name and a help text; collections.Counter has none."""
    return len(call.args) > 1 and all(isinstance(each, ast.Constant) for each in call.args[:2])
