"""The real `openai` client of one endpoint: imported here alone, on first use, off the event loop.

Retries are ours (`client`), so the package's own are off. Of its headers only those that an
endpoint needs leave: no platform facts, and nothing that its environment variables say.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import sys
import urllib.request
from collections.abc import AsyncGenerator, Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from edge_llm.cloud.failures import own_words, status_error
from edge_llm.cloud.gate import uses_proxies
from edge_llm.cloud.keys import Key
from edge_llm.cloud.quiet import hush, quietly
from edge_llm.cloud.types import Endpoint
from edge_llm.errors import (
    CloudError,
    CloudResponseError,
    CloudTimeoutError,
    CloudUnavailableError,
    ConfigError,
)

if TYPE_CHECKING:
    import httpx2

T = TypeVar("T")

MAX_ERROR_BYTES = 64 * 1024
"""Of the body of an error; more of it is not read."""

MAX_CONNECTIONS = 256
MAX_IDLE_CONNECTIONS = 8
KEEP_ALIVE_S = 60.0

_PLAIN_HEADERS = frozenset(
    {"host", "accept", "content-type", "content-length", "transfer-encoding", "connection"}
)


class SDKClient:
    """The `openai` client of one endpoint on one event loop; made off the loop, because slow."""

    def __init__(self, endpoint: Endpoint, *, offline: bool) -> None:
        """Blocks: imports the package on first use and reads the system's certificates.

        Raises:
            ConfigError: certificates or proxies that cannot be used.
        """
        import openai

        hush()
        self._endpoint = endpoint
        self._client = openai.AsyncOpenAI(
            api_key="unused",  # else it would take the key of the environment
            base_url=endpoint.base_url,
            max_retries=0,
            default_query=dict(endpoint.query) or None,
            http_client=_http_client(endpoint, offline=offline),
        )

    async def open(self, body: Mapping[str, Any], key: Key | None) -> Response:
        """The response to a chat completion, its body still to be read.

        Raises:
            CloudError: there is none.
        """
        failure: CloudError | None = None
        import openai

        try:
            with quietly():
                stream = await self._client.chat.completions.create(
                    **_split_body(body), extra_headers=_headers(self._endpoint, key)
                )
                return Response(self._endpoint.name, stream.response)
        except openai.OpenAIError as error:
            failure = self._mapped(error)
        except UnicodeError:
            failure = CloudResponseError(
                f"{self._endpoint.name!r} has no address that can be used",
                endpoint=self._endpoint.name,
            )
        # Raised here, so that the package's error, which holds prompt and key, is no context of it.
        raise failure

    async def models(self, key: Key | None) -> list[str]:
        """Names of the models that the endpoint offers.

        Raises:
            CloudError: it does not say.
        """
        import openai

        try:
            with quietly():
                listed = await self._client.models.list(extra_headers=_headers(self._endpoint, key))
            return [str(model.id) for model in listed.data or ()]
        except openai.OpenAIError as error:
            failure = self._mapped(error)
        except (AttributeError, TypeError, ValueError):
            name = self._endpoint.name
            failure = CloudResponseError(f"{name!r} lists no models", endpoint=name)
        raise failure

    def _mapped(self, error: Exception) -> CloudError:
        failure = map_sdk_error(self._endpoint.name, error)
        if self._endpoint.ours:
            failure.own_words = own_words(getattr(error, "body", None))
        return failure

    async def close(self) -> None:
        """Close what is open."""
        with quietly():
            await self._client.close()


class Response:
    """The response to one request, its body read piece by piece."""

    def __init__(self, endpoint: str, response: httpx2.Response) -> None:
        self._endpoint = endpoint
        self._response = response
        self._pieces = response.aiter_raw()
        self.status = response.status_code
        self.headers: Mapping[str, str] = response.headers

    async def read_piece(self) -> bytes | None:
        """The next bytes of the body, None at its end.

        Raises:
            CloudUnavailableError: the connection broke.
        """
        import httpx2

        try:
            with quietly():
                return await anext(self._pieces, None)
        except (httpx2.HTTPError, httpx2.StreamError):
            broken = CloudUnavailableError(
                f"{self._endpoint!r} broke the connection", endpoint=self._endpoint
            )
        raise broken

    async def close(self) -> None:
        """Close the socket at once if anything is still on its way, else keep it for reuse."""
        import httpx2

        with quietly(), contextlib.suppress(httpx2.HTTPError, httpx2.StreamError, RuntimeError):
            await self._response.aclose()
            if isinstance(self._pieces, AsyncGenerator):
                await self._pieces.aclose()


def map_sdk_error(endpoint: str, error: Exception) -> CloudError:
    """One of our errors for any that the `openai` package raises; nothing of its text is kept."""
    import openai

    match error:
        case openai.APIStatusError():
            headers = {name.lower(): value for name, value in error.response.headers.items()}
            return status_error(endpoint, error.status_code, headers, error.body)
        case openai.APIConnectionError():
            return _connection_error(endpoint, error)
        case openai.APIResponseValidationError():
            return CloudResponseError(f"{endpoint!r} sent no answer", endpoint=endpoint)
        case openai.APIError():
            return CloudUnavailableError(f"{endpoint!r} failed", endpoint=endpoint)
        case openai.LengthFinishReasonError() | openai.ContentFilterFinishReasonError():
            return CloudResponseError(f"{endpoint!r} stopped its answer", endpoint=endpoint)
    return CloudError(f"the openai package cannot ask {endpoint!r}", endpoint=endpoint)


def _connection_error(endpoint: str, error: BaseException) -> CloudError:
    import httpx2

    cause = error.__cause__
    if isinstance(cause, CloudError):
        return cause
    if isinstance(cause, httpx2.ConnectTimeout | httpx2.PoolTimeout):
        return CloudTimeoutError(
            f"{endpoint!r} could not be reached in time", phase="connect", endpoint=endpoint
        )
    if isinstance(cause, httpx2.TimeoutException):
        return CloudTimeoutError(f"{endpoint!r} went silent", phase="read", endpoint=endpoint)
    if _is_certificate_error(error):
        return CloudUnavailableError(
            f"the certificate of {endpoint!r} is not trusted",
            hint="set ca_file or SSL_CERT_FILE to the certificates that sign it",
            endpoint=endpoint,
        )
    if isinstance(cause, httpx2.ProxyError):
        return CloudUnavailableError(
            f"the proxy to {endpoint!r} refuses", hint="check HTTPS_PROXY", endpoint=endpoint
        )
    if isinstance(cause, httpx2.ConnectError):
        return CloudUnavailableError(f"{endpoint!r} cannot be reached", endpoint=endpoint)
    return CloudUnavailableError(f"{endpoint!r} broke the connection", endpoint=endpoint)


def _is_certificate_error(error: BaseException | None) -> bool:
    while error is not None:
        if isinstance(error, ssl.SSLCertVerificationError):
            return True
        error = error.__cause__ or error.__context__
    return False


def _split_body(body: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments for `create`: what it must be given by name, the rest as it is."""
    named = {name: body[name] for name in ("model", "messages", "stream")}
    return {**named, "extra_body": {n: v for n, v in body.items() if n not in named}}


def _headers(endpoint: Endpoint, key: Key | None) -> dict[str, str]:
    headers = {
        "Accept": "text/event-stream, application/json",
        # Compressed bytes could grow without bound, and a stream gains nothing by it.
        "Accept-Encoding": "identity",
        "User-Agent": _user_agent(),
        **endpoint.headers,
    }
    if endpoint.organization is not None:
        headers["OpenAI-Organization"] = endpoint.organization
    if endpoint.project is not None:
        headers["OpenAI-Project"] = endpoint.project
    if key is not None and endpoint.key is not None:
        is_bearer = endpoint.key.header.lower() == "authorization"
        headers[endpoint.key.header] = f"Bearer {key.text}" if is_bearer else key.text
    return headers


def _user_agent() -> str:
    # Not imported: the package's own module stands above this room.
    version = getattr(sys.modules.get("edge_llm"), "__version__", "")
    return f"edge-llm/{version}" if version else "edge-llm"


def _http_client(endpoint: Endpoint, *, offline: bool) -> httpx2.AsyncClient:
    import httpx2

    from edge_llm.cloud.pinned import PinnedTransport, bounded

    ours = {name.lower() for name in _headers(endpoint, Key("any"))} | _PLAIN_HEADERS

    async def keep_ours(request: httpx2.Request) -> None:
        for name in [name for name in request.headers if name.lower() not in ours]:
            del request.headers[name]

    async def bound(response: httpx2.Response) -> None:
        if response.status_code >= 300:
            bounded(response, MAX_ERROR_BYTES)

    limits = httpx2.Limits(
        max_connections=MAX_CONNECTIONS,
        max_keepalive_connections=MAX_IDLE_CONNECTIONS,
        keepalive_expiry=KEEP_ALIVE_S,
    )
    settings: dict[str, Any] = {
        # What is not the connection is timed by us, because bytes that drip reset these.
        "timeout": httpx2.Timeout(None, connect=endpoint.timeouts.connect_s),
        "follow_redirects": False,  # another host is another trust
        "event_hooks": {"request": [keep_ours], "response": [bound]},
        "limits": limits,
    }
    verify = _certificates(endpoint, offline=offline)
    if uses_proxies(endpoint, offline=offline):
        return _checked(endpoint, lambda: httpx2.AsyncClient(verify=verify, **settings))
    transport = PinnedTransport(endpoint, offline=offline, verify=verify, limits=limits)
    return httpx2.AsyncClient(transport=transport, trust_env=False, **settings)


def _certificates(endpoint: Endpoint, *, offline: bool) -> ssl.SSLContext:
    import httpx2

    if endpoint.ca_file is not None:
        return _checked(endpoint, lambda: ssl.create_default_context(cafile=endpoint.ca_file))
    has_proxies = uses_proxies(endpoint, offline=offline) and bool(urllib.request.getproxies())
    if not endpoint.base_url.startswith("https:") and not has_proxies:
        # Nobody to be sure of; reading the system's certificates takes 30 ms.
        return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    return _checked(endpoint, httpx2.create_ssl_context)


def _checked(endpoint: Endpoint, make: Callable[[], T]) -> T:
    try:
        return make()
    except (OSError, ValueError, ImportError) as exc:
        raise ConfigError(
            f"certificates or proxy for {endpoint.name!r} cannot be used: {type(exc).__name__}",
            hint="check ca_file, SSL_CERT_FILE, HTTPS_PROXY and NO_PROXY",
        ) from None


async def open_sdk_client(endpoint: Endpoint, *, offline: bool) -> SDKClient:
    """A client, made on a thread: the first one imports the package, which takes a while."""
    return await asyncio.to_thread(SDKClient, endpoint, offline=offline)
