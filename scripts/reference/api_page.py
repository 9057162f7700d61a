"""docs/API.md from the services' OpenAPI documents: each route, what it takes, what it answers. Pure."""

import json
from collections.abc import Iterable, Mapping
from typing import Any

HEAD = """\
# HTTP APIs

<!-- Made by `python -m scripts.reference` from a running system's OpenAPI; edit the code, not here. -->

Each service has its own API; nginx balances it over the service's instances. The webhook is also on the
public port 8080, and nothing else is. The live form of this page, to try routes out, is at `/docs` of each
service.

- Money and quantities are strings (`"50010.40"`), times are RFC 3339 with their zone.
- An error is `application/problem+json` (RFC 9457): `title`, `status`, `detail` say what was wrong and what
  to do; 422 adds `errors` by field. 429 and 503 carry `Retry-After`.
- Any route answers 503 while a server it needs is away, and then nothing was changed.
- Open reads answer under IP addresses, `localhost` and local names only; under a domain they are 421.
- *Key*: the header `X-API-Key` with `PHOENIX_API_KEY`. *Secret*: one of the webhook's proofs, see
  [TradingView](TRADINGVIEW.md#proofs). Everything else is open on loopback
  ([why](decisions/0008-reads-are-open-on-loopback-changes-need-the-key.md))."""

PORTS = {"BRAIN": 8100, "RISK": 8101, "EXECUTE": 8102, "NOTIFY": 8103}
FIRST = "BRAIN"
PROCESS_PATHS = ("/health", "/ready", "/metrics")
"""The same for every service, and told of the first."""
KEY_HEADER = "x-api-key"
KEY_DEFAULT = "PHOENIX_API_KEY"
PROBLEM_TYPE = "application/problem+json"
Document = Mapping[str, Any]


def page(documents: Iterable[Document]) -> str:
    """Return the whole page; documents come in the order of the pipeline."""
    return HEAD + "".join(_service(document) for document in documents)


def _service(document: Document) -> str:
    name = str(document["info"]["title"]).removeprefix("Phoenix 95 ")
    base = f"http://127.0.0.1:{PORTS[name]}"
    operations = [
        (method.upper(), path, operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    ]
    rows = [
        f"| `{method}` | `{path}` | {operation['summary']} | {_proof(path, operation)} |"
        for method, path, operation in operations
    ]
    parts = [
        f"\n## {name}\n\n`{base}` — {document['info']['description']}\n",
        "\n| method | path | what it does | needs |\n|---|---|---|---|\n" + "\n".join(rows) + "\n",
    ]
    parts += [
        _operation(base, method, path, operation, document)
        for method, path, operation in operations
        if path not in PROCESS_PATHS or name == FIRST
    ]
    return "".join(parts)


def _operation(base: str, method: str, path: str, operation: Mapping[str, Any], document: Document) -> str:
    lines = [f"\n### {method} {path}", "", f"{operation['summary']}."]
    told = str(operation.get("description", "")).strip()
    if told:
        lines[-1] += " " + " ".join(told.split())
    if parameters := [each for each in operation.get("parameters", ()) if each["in"] != "header"]:
        lines += ["", "| parameter | in | type and range | default |", "|---|---|---|---|"]
        lines += [_parameter(each) for each in parameters]
    if fields := _fields(operation, document):
        lines += ["", "| field | type and range | default | about |", "|---|---|---|---|", *fields]
    examples = _request_examples(operation, document)
    for title, example in examples:
        lines += ["", f"{title}:", "", "```sh", _curl(base, method, path, operation, example), "```"]
    if not examples:
        lines += ["", "```sh", _curl(base, method, path, operation, None), "```"]
    lines += _answers(operation)
    return "\n".join(lines) + "\n"


def _proof(path: str, operation: Mapping[str, Any]) -> str:
    if any(each["name"] == KEY_HEADER for each in operation.get("parameters", ())):
        return "key"
    if path.startswith("/webhook"):
        return "secret"
    return "cookie" if "cookie" in str(operation.get("parameters", "")) else "–"


def _parameter(each: Mapping[str, Any]) -> str:
    schema = each.get("schema", {})
    default = schema.get("default")
    return f"| `{each['name']}` | {each['in']} | {_type(schema)} | {'–' if default is None else default} |"


def _request_examples(operation: Mapping[str, Any], document: Document) -> list[tuple[str, Any]]:
    content = operation.get("requestBody", {}).get("content", {}).get("application/json")
    if content is None:
        return []
    if "examples" in content:
        return [(str(each["summary"]), each["value"]) for each in content["examples"].values()]
    found = []
    for schema in _schemas(content.get("schema", {}), document):
        example = schema.get("example", next(iter(schema.get("examples", ())), None))
        found.append((_title(schema), _made_up(schema) if example is None else example))
    return found


def _schemas(schema: Mapping[str, Any], document: Document) -> list[Mapping[str, Any]]:
    if "$ref" in schema:
        found: Mapping[str, Any] = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
        return [found]
    if "anyOf" in schema:
        return [each for option in schema["anyOf"] for each in _schemas(option, document)]
    return [schema]


def _title(schema: Mapping[str, Any]) -> str:
    return " ".join(str(schema.get("description") or "Request").split()).rstrip(".")


def _made_up(schema: Mapping[str, Any]) -> Any:
    """Return the least that would be taken, for a body without an example of its own."""
    wanted = schema.get("required", ())
    return {name: f"<{_type(schema['properties'][name])}>" for name in wanted}


def _fields(operation: Mapping[str, Any], document: Document) -> list[str]:
    content = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
    schemas = [each for each in _schemas(content.get("schema", {}), document) if each.get("properties")]
    if len(schemas) != 1:
        return []
    required = schemas[0].get("required", ())
    rows = []
    for name, schema in schemas[0]["properties"].items():
        default = "*required*" if name in required else _shown(schema.get("default"))
        about = " ".join(str(schema.get("description", "")).split())
        rows.append(f"| `{name}` | {_type(schema, document)} | {default} | {about} |")
    return rows


def _type(schema: Mapping[str, Any], document: Document | None = None) -> str:
    if "$ref" in schema and document is not None:
        return _type(_schemas(schema, document)[0], document)
    if "anyOf" in schema:
        kinds = [_type(each, document) for each in schema["anyOf"] if each.get("type") != "null"]
        return " or ".join(dict.fromkeys(kinds))
    if choices := schema.get("enum"):
        return " \\| ".join(f"`{each}`" for each in choices)
    kind = str(schema.get("type", "any"))
    bounds = [
        f"{sign} {schema[key]:g}"
        for key, sign in (("minimum", "≥"), ("exclusiveMinimum", ">"), ("maximum", "≤"))
        if key in schema
    ]
    if "maxLength" in schema:
        bounds.append(f"≤ {schema['maxLength']} characters")
    return " ".join([kind, ", ".join(bounds)]).strip()


def _shown(default: Any) -> str:
    return "–" if default is None else f"`{json.dumps(default, ensure_ascii=False)}`"


def _curl(base: str, method: str, path: str, operation: Mapping[str, Any], example: Any) -> str:
    parts = ["curl -sS"]
    if method != "GET":
        parts.append(f"-X {method}" if example is None else "-H 'Content-Type: application/json'")
    if any(each["name"] == KEY_HEADER for each in operation.get("parameters", ())):
        parts.append(f'-H "X-API-Key: ${KEY_DEFAULT}"')
    command = " ".join([*parts, f"'{base}{path}'"])
    if example is None:
        return command
    return f"{command} -d '{json.dumps(example, ensure_ascii=False, indent=2)}'"


def _answers(operation: Mapping[str, Any]) -> list[str]:
    lines: list[str] = []
    problems: list[str] = []
    for status, response in sorted(operation["responses"].items()):
        content = response.get("content", {})
        if PROBLEM_TYPE in content:
            example = content[PROBLEM_TYPE]["example"]
            problems.append(f"| {status} | {example['title']} | {example['detail']} |")
            continue
        lines += ["", f"Answers {status}: {response['description']}"]
        for media in content.values():
            if isinstance(example := media.get("example"), dict | list):
                lines += ["", "```json", json.dumps(example, ensure_ascii=False, indent=2), "```"]
    if problems:
        lines += ["", "| refused with | title | what it says |", "|---|---|---|", *problems]
    return lines
