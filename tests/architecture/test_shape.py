"""All services have one shape, so that whoever knows one knows all; settings and SQL have theirs."""

import ast
import importlib
import inspect
import re
from pathlib import Path

import pytest
from pydantic.fields import FieldInfo

from shared.settings import Settings
from tests.architecture.source import PRODUCTION, REPOSITORY, Finding, modules, told, tracked

SERVICES = ("brain", "risk", "execute", "notify")
PARTS = ("__init__.py", "__main__.py", "config.py", "flow.py", "ports.py", "store.py", "queries.sql")

PRESCRIBED = {
    "services/brain": ("brain_service", "signal_analyzer", "message_publisher", "config"),
    "services/risk": ("risk_service", "position_manager", "kelly_calculator", "stream_processor"),
    "services/execute": ("execute_service", "binance_client", "leverage_manager", "queue_consumer"),
    "services/notify": ("notify_service", "telegram_bot", "metrics_collector"),
    "shared": ("models", "database", "redis_client", "rabbitmq_client", "stream_processor"),
}
"""Files that keep the place and name given to them at the beginning (DESIGN §15)."""

SECRET = re.compile(r"password|secret|token|api_key|amqp_url|redis_url")
QUERY = re.compile(r"^-- name: (\w+)\s*$", re.MULTILINE)


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_has_the_parts_that_all_services_have(service: str) -> None:
    """A part under another name is looked for in vain at night."""
    folder = REPOSITORY / "services" / service
    missing = [name for name in (*PARTS, f"{service}_service.py") if not (folder / name).is_file()]
    assert missing == []


@pytest.mark.parametrize("folder", PRESCRIBED)
def test_prescribed_files_stand_in_their_place(folder: str) -> None:
    """Documents and operators refer to these names."""
    missing = [name for name in PRESCRIBED[folder] if not (REPOSITORY / folder / f"{name}.py").is_file()]
    assert missing == []


@pytest.mark.parametrize("service", SERVICES)
def test_a_flow_reads_like_a_story_and_has_no_other_business(service: str) -> None:
    """SQL, HTTP or a queue's name in the flow is where the story stops being one."""
    text = (REPOSITORY / "services" / service / "flow.py").read_text(encoding="utf-8")
    assert not re.search(r"\bSELECT\b|\bINSERT INTO\b|fetch_row|\.execute\(|APIRouter|@app\.", text)


def _settings_of(service: str) -> list[tuple[str, FieldInfo]]:
    config = importlib.import_module(f"services.{service}.config")
    kinds = [
        kind
        for _, kind in inspect.getmembers(config, inspect.isclass)
        if issubclass(kind, Settings) and kind.__module__ == config.__name__
    ]
    assert kinds, "a service has a settings class of its own"
    return [(name, field) for kind in kinds for name, field in kind.model_fields.items()]


@pytest.mark.parametrize("service", SERVICES)
def test_every_setting_is_described(service: str) -> None:
    """The table of settings is generated; a setting without a sentence is one that nobody dares to change."""
    assert [name for name, field in _settings_of(service) if not field.description] == []


@pytest.mark.parametrize("service", SERVICES)
def test_every_secret_is_of_the_type_that_hides_itself(service: str) -> None:
    """A password that is a plain string stands in the first traceback that shows the settings."""
    plain = [
        name
        for name, field in _settings_of(service)
        if SECRET.search(name) and "SecretStr" not in str(field.annotation)
    ]
    assert plain == []


@pytest.mark.parametrize("path", tracked("queries.sql"))
def test_every_query_is_used(path: str) -> None:
    """A query that nobody runs is kept in step with the schema for nothing, and read for nothing."""
    folder = Path(path).parent
    named = set(QUERY.findall((REPOSITORY / path).read_text(encoding="utf-8")))
    texts = {
        node.value
        for module in modules("services", "infrastructure")
        if Path(module.path).parent == folder
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    assert named - texts == set()


MIGRATIONS = tracked(".sql")

UNSAFE_SQL = {
    r"\btimestamp\b(?!tz)(?! with time zone)": "a time without a zone is read differently by every client",
    r"\b(real|double precision|float[48]?|money)\b": "money in binary fractions does not add up",
    r"\bserial\b|\bbigserial\b": "its sequence belongs to nobody and misses its grant; use IDENTITY",
    r"\bvarchar\s*\(|\bchar\s*\(": "a length that cuts an exchange's answer off; use text with a CHECK",
    r"\bON DELETE CASCADE\b": "one wrong DELETE takes the history along",
}


@pytest.mark.parametrize("pattern", UNSAFE_SQL)
def test_the_schema_uses_no_type_or_clause_that_loses_something(pattern: str) -> None:
    """See the reason beside each pattern."""
    found = [
        Finding(path, number, f"{line.strip()}: {UNSAFE_SQL[pattern]}")
        for path in MIGRATIONS
        if "/migrations/" in path
        for number, line in enumerate((REPOSITORY / path).read_text(encoding="utf-8").splitlines(), 1)
        if re.search(pattern, line.split("--")[0], re.IGNORECASE)
    ]
    assert not found, told(found)


def test_money_columns_keep_eight_places() -> None:
    """A column without a scale keeps whatever a division left behind, and sums differ from their parts."""
    column = re.compile(
        r"^\s*(\w*(?:price|quantity|_usdt|_rate))\s+(?!numeric\(20, 8\))(numeric|integer|bigint)\b"
    )
    found = [
        Finding(path, number, line.strip())
        for path in MIGRATIONS
        if "/migrations/" in path
        for number, line in enumerate((REPOSITORY / path).read_text(encoding="utf-8").splitlines(), 1)
        if column.match(line)
    ]
    assert not found, told(found)


def test_production_code_never_imports_a_test() -> None:
    """It would work on every machine but the one that trades."""
    found = [
        Finding(module.path, node.lineno, ast.unparse(node))
        for module in modules(*PRODUCTION)
        for node in ast.walk(module.tree)
        if (isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "tests")
        or (isinstance(node, ast.Import) and any(each.name.split(".")[0] == "tests" for each in node.names))
    ]
    assert not found, told(found)
