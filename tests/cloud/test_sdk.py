"""What the `openai` package may raise, and what its HTTP library may say: all of it has a name."""

from __future__ import annotations

import inspect
from typing import Any

import httpx2
import openai
import pytest

from edge_llm.cloud.sdk import map_sdk_error
from edge_llm.errors import CloudError

NOT_OF_CHAT_COMPLETIONS = {
    "OpenAIError",
    "WebSocketConnectionClosedError",
    "WebSocketQueueFullError",
    "_AmbiguousModuleClientUsageError",
}
SECRET = "the secret of a prompt"
REQUEST = httpx2.Request("POST", "https://x/v1/chat/completions", headers={"authorization": SECRET})


def every_exception() -> list[type[Exception]]:
    return [
        kind
        for _, kind in inspect.getmembers(openai, inspect.isclass)
        if issubclass(kind, openai.OpenAIError)
    ]


def make(kind: type[Exception]) -> Exception:
    response = httpx2.Response(418, request=REQUEST, text=SECRET)
    error: Exception = Exception.__new__(kind)
    values = {
        "message": SECRET,
        "body": {"error": {"message": SECRET, "code": SECRET}},
        "request": REQUEST,
        "response": response,
        "status_code": getattr(kind, "status_code", 418),
    }
    Exception.__init__(error, SECRET)
    for name, value in values.items():
        setattr(error, name, value)
    return error


def test_the_package_has_the_exceptions_we_know() -> None:
    assert len(every_exception()) >= 12


@pytest.mark.parametrize("kind", every_exception(), ids=lambda kind: str(kind.__name__))
def test_every_exception_of_the_package_becomes_one_of_ours(kind: type[Exception]) -> None:
    error = map_sdk_error("e", make(kind))

    assert isinstance(error, CloudError)
    assert error.endpoint == "e"
    assert type(error) is not CloudError or kind.__name__ in NOT_OF_CHAT_COMPLETIONS
    assert SECRET not in f"{error!r}{error}{vars(error)}"


@pytest.mark.parametrize(
    "cause",
    [getattr(httpx2, name) for name in sorted(dir(httpx2)) if name.endswith(("Error", "Timeout"))],
    ids=lambda kind: str(kind.__name__),
)
def test_every_broken_connection_becomes_one_of_ours(cause: Any) -> None:
    if not issubclass(cause, httpx2.TransportError):
        return
    error = openai.APIConnectionError(request=REQUEST)
    error.__cause__ = cause(SECRET)

    mapped = map_sdk_error("e", error)

    assert type(mapped) is not CloudError
    assert mapped.retryable
    assert SECRET not in f"{mapped!r}{mapped}{vars(mapped)}"
