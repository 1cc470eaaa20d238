"""The application: which path leads to which endpoint. A pure function of the runtime it serves."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from edge_llm.errors import RequestError
from edge_llm.runtime.async_llm import AsyncEdgeLLM
from edge_llm.server.chat import ChatCompletions
from edge_llm.server.errors import error_object
from edge_llm.server.models import Models


class UnknownAddressError(RequestError):
    """There is no such path, or not for this method."""

    code = "unknown_address"
    status_code = 404


def create_app(llm: AsyncEdgeLLM) -> Starlette:
    """An ASGI application that serves `llm`; opens it at its start, closes it at its end."""

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncGenerator[None]:
        async with llm:
            yield

    return Starlette(
        routes=[
            Route("/v1/chat/completions", ChatCompletions(llm), methods=["POST"]),
            Route("/v1/models", Models(llm), methods=["GET"]),
            Route("/health", _health, methods=["GET"]),
        ],
        lifespan=lifespan,
        exception_handlers={404: _unknown, 405: _unknown},
    )


async def _health(_: Request) -> Response:
    return JSONResponse({"status": "ok"})


async def _unknown(request: Request, exc: Exception) -> Response:
    error = UnknownAddressError(
        f"{request.method} {request.url.path} is nothing that is served here",
        hint="POST /v1/chat/completions, GET /v1/models",
    )
    status = getattr(exc, "status_code", error.status_code)
    return JSONResponse(error_object(error), status_code=status)
