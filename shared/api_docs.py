"""What OpenAPI cannot know by itself: an example of every answer, and errors in the form they really have.

It changes the document only, never an answer.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

from fastapi import FastAPI

PROBLEM_MEDIA_TYPE = "application/problem+json"
KEY_HEADER = "x-api-key"


class Answer(NamedTuple):
    """An example of what a route answers when all is well, and what that means."""

    example: object
    meaning: str = "As asked."


PROCESS: Mapping[str, Answer] = {
    "GET /health": Answer({"status": "ok", "service": "brain", "instance": "0"}, "The event loop answers."),
    "GET /ready": Answer(
        {"ready": True, "mode": "paper", "dependencies": {"postgresql": "ok", "rabbitmq": "ok"}},
        "Ready; answered with 503 and the same document while a dependency is not `ok`.",
    ),
    "GET /metrics": Answer("# HELP phoenix_ready …", "Prometheus's text format, of one instance."),
}
"""What every service answers."""


def describe(app: FastAPI, answers: Mapping[str, Answer]) -> None:
    """Add `answers` (by `METHOD /path`) and the error documents to the application's OpenAPI document."""
    plain = app.openapi

    def described() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = completed(plain(), {**PROCESS, **answers})
        return app.openapi_schema

    app.openapi = described  # type: ignore[method-assign]  # FastAPI's documented way


def completed(document: dict[str, Any], answers: Mapping[str, Answer]) -> dict[str, Any]:
    """Return the document with the answers, and with problems instead of FastAPI's own error form."""
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            given = answers.get(f"{method.upper()} {path}")
            if given is not None:
                _show(operation["responses"], given)
            _tell_problems(operation)
    schemas = document.get("components", {}).get("schemas", {})
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    return document


def problem(status: int, title: str, detail: str, **extra: object) -> dict[str, Any]:
    """Return an error document as OpenAPI shows it."""
    body = {"type": "about:blank", "title": title, "status": status, "detail": detail} | extra
    return {"description": title, "content": {PROBLEM_MEDIA_TYPE: {"example": body}}}


def _show(responses: dict[str, Any], given: Answer) -> None:
    status = next(status for status in responses if status.startswith("2"))
    responses[status] = {
        "description": given.meaning,
        "content": {"application/json": {"example": given.example}},
    }


def _tell_problems(operation: dict[str, Any]) -> None:
    responses = operation["responses"]
    unfit = responses.get("422", {}).get("content", {}).get("application/json", {})
    if "HTTPValidationError" in str(unfit):
        errors = [{"field": "query.limit", "message": "Input should be less than or equal to 500"}]
        responses["422"] = problem(
            422, "request does not fit", "See `errors` for each field and what is wrong.", errors=errors
        )
    if any(parameter["name"] == KEY_HEADER for parameter in operation.get("parameters", ())):
        responses["401"] = problem(
            401,
            "operator key missing or wrong",
            "Send the header X-API-Key with the value of PHOENIX_API_KEY (in phoenix.env).",
        )
