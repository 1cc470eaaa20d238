"""What the errors of `huggingface_hub` mean to a user, and which of them pass by themselves."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import urlsplit

from edge_llm.errors import (
    HubBusyError,
    ModelAccessError,
    ModelDownloadError,
    ModelNotFoundError,
    OfflineError,
)

if TYPE_CHECKING:
    from huggingface_hub.errors import HfHubHTTPError

T = TypeVar("T")

ATTEMPTS = 4
FIRST_PAUSE_S = 0.5
MAX_PAUSE_S = 60.0

GO_ON = "run the same command again: it goes on where it stopped"


def with_retries(action: Callable[[], T]) -> T:
    """What `action` returns, tried again after growing pauses while hub or network fail.

    Raises:
        ModelDownloadError: they kept failing, or the error is none that passes.
    """
    for attempt in range(ATTEMPTS):
        try:
            return action()
        except ModelDownloadError as exc:
            if attempt == ATTEMPTS - 1 or not is_passing(exc):
                raise
            time.sleep(pause_s(exc, attempt))
    raise AssertionError("unreachable")


def is_passing(error: ModelDownloadError) -> bool:
    """Whether the same request may succeed a little later."""
    return isinstance(error, HubBusyError) or type(error) is ModelDownloadError


def pause_s(error: ModelDownloadError, attempt: int) -> float:
    """Seconds to wait before attempt number `attempt + 1`, from 0: what the hub asks for, or more
    each time.
    """
    asked = error.retry_after_s if isinstance(error, HubBusyError) else None
    return min(FIRST_PAUSE_S * 2**attempt if asked is None else asked, MAX_PAUSE_S)


@contextmanager
def map_hub_errors(repo: str, endpoint: str, *, has_token: bool) -> Generator[None]:
    """Let the library's errors about `repo` leave as ours.

    Raises:
        ModelNotFoundError: there is no such repository, revision or file.
        ModelDownloadError: or a kind of it.
    """
    import httpx2
    from huggingface_hub import errors

    try:
        yield
    except errors.GatedRepoError as exc:
        raise gated(repo, endpoint, has_token=has_token) from exc
    except errors.RepositoryNotFoundError as exc:
        raise ModelNotFoundError(
            f"{endpoint} has no model {repo!r}, or none that you may see",
            hint="check the spelling; for a private one set HF_TOKEN or run 'hf auth login'",
        ) from exc
    except errors.RevisionNotFoundError as exc:
        raise ModelNotFoundError(
            f"{repo!r} has no such branch, tag or commit", hint=f"see {endpoint}/{repo}/refs"
        ) from exc
    except errors.EntryNotFoundError as exc:
        raise ModelNotFoundError(f"{repo!r} has no such file any more") from exc
    except errors.OfflineModeIsEnabled as exc:
        raise OfflineError(
            "nothing is fetched: HF_HUB_OFFLINE is set", hint="unset it for this command"
        ) from exc
    except errors.HfHubHTTPError as exc:
        raise _refused(repo, endpoint, exc) from exc
    except (errors.FileMetadataError, ValueError, KeyError) as exc:
        raise ModelDownloadError(
            f"{endpoint} does not answer as a hub does: {exc}", hint="check HF_ENDPOINT"
        ) from exc
    except httpx2.HTTPError as exc:
        raise ModelDownloadError(
            f"{urlsplit(endpoint).netloc} cannot be reached, or the transfer broke off:"
            f" {str(exc) or type(exc).__name__}",
            hint=GO_ON,
        ) from exc


def gated(repo: str, endpoint: str, *, has_token: bool) -> ModelAccessError:
    """The error that says what to do about a gated repository."""
    steps = "" if has_token else "; then set HF_TOKEN, or run 'hf auth login'"
    return ModelAccessError(
        f"{repo!r} is gated: its owner wants its licence accepted first",
        hint=f"accept it at {endpoint}/{repo}{steps}",
    )


def _refused(repo: str, endpoint: str, exc: HfHubHTTPError) -> ModelDownloadError:
    host, status = urlsplit(endpoint).netloc, exc.response.status_code
    if status == 401:
        return ModelAccessError(
            f"{host} does not know your token",
            hint=f"make one at {endpoint}/settings/tokens and put it in HF_TOKEN",
        )
    if status == 403:
        return ModelAccessError(
            f"your token may not read {repo!r}",
            hint="give it the right to read gated repositories, or take another",
        )
    wait_s = _retry_after_s(exc.response.headers)
    if status == 429:
        return HubBusyError(
            f"{host} wants fewer requests",
            hint="wait a few minutes; with a token in HF_TOKEN the limit is higher",
            retry_after_s=wait_s,
        )
    if status >= 500 or status == 408:
        return HubBusyError(
            f"{host} fails with status {status}",
            hint="try again later, or set HF_ENDPOINT to a mirror",
            retry_after_s=wait_s,
        )
    return ModelDownloadError(f"{host} refuses {repo!r} with status {status}")


def _retry_after_s(headers: Mapping[str, str]) -> float | None:
    text = headers.get("Retry-After", "")
    return float(text) if text.isdigit() else None
