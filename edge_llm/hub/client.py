"""The only door to the hub: what it is asked, and what may be asked of it.

`huggingface_hub` takes a quarter of a second to import, so only fetching does, and never loading.
"""

from __future__ import annotations

import os
import re
from collections.abc import Generator, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from edge_llm.errors import (
    HubOfflineError,
    ModelAccessError,
    ModelDownloadError,
    ModelIntegrityError,
    ModelRangeError,
)
from edge_llm.hub.client_errors import map_hub_errors

if TYPE_CHECKING:
    import httpx2
    from huggingface_hub.hf_api import RepoFile

DEFAULT_ENDPOINT = "https://huggingface.co"

_LOOPBACK = re.compile(r"localhost|127(?:\.\d{1,3}){3}|::1", re.ASCII)
_SHA1 = re.compile(r"[0-9a-f]{40}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_RANGE = re.compile(r"bytes (?P<start>\d+)-\d+/(?P<size>\d+|\*)")
_PIECE_BYTES = 64 << 10

_only_loopback: ContextVar[bool] = ContextVar("_only_loopback", default=False)


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """One file of a repository at one commit, as its listing promises it."""

    path: str
    num_bytes: int
    blob_id: str
    """What git calls it: SHA-1 of the content, or of the LFS pointer."""
    sha256: str | None = None
    """Of the content, where it lies in LFS."""

    @property
    def etag(self) -> str:
        """What hub and cache call the content."""
        return self.sha256 or self.blob_id


@dataclass(frozen=True, slots=True)
class RemoteRepo:
    """A repository at one commit."""

    name: str
    revision: str | None
    """The branch, tag or commit that was asked for; None is main."""
    commit: str
    licence: str | None
    is_gated: bool
    files: Mapping[str, RemoteFile]
    """By path."""


@dataclass(frozen=True, slots=True)
class Stream:
    """A transfer that has begun."""

    start: int
    """The byte that it begins with: 0 where the server knows no ranges."""
    pieces: Iterator[bytes]


class HubClient:
    """Asks one endpoint, which `HF_ENDPOINT` may replace; `is_offline` allows this machine only."""

    def __init__(self, *, is_offline: bool = False) -> None:
        self.endpoint = (os.environ.get("HF_ENDPOINT") or DEFAULT_ENDPOINT).rstrip("/")
        self._is_offline = is_offline
        if is_offline:
            _require_loopback(self.endpoint)

    def list_repo(self, name: str, revision: str | None) -> RemoteRepo:
        """The commit that `revision` names now, and every file in it.

        Raises:
            ModelNotFoundError: no such repository or revision, or not for this user.
            ModelDownloadError: the hub cannot be reached, refuses, or lists what it must not.
        """
        with self._asking(name) as hub:
            api = hub.HfApi(endpoint=self.endpoint, library_name="edge-llm")
            info = api.model_info(name, revision=revision, timeout=_timeout_s())
            commit = _require_commit(info.sha, self.endpoint)
            entries = list(api.list_repo_tree(name, recursive=True, revision=commit))
        found = [_remote_file(name, entry) for entry in entries if hasattr(entry, "blob_id")]
        licence = (info.card_data or {}).get("license")
        return RemoteRepo(
            name,
            revision,
            commit,
            licence if isinstance(licence, str) else None,
            bool(info.gated),
            {file.path: file for file in found},
        )

    def locate(self, repo: RemoteRepo, file: RemoteFile) -> str:
        """The address that the content comes from now; it may expire.

        Raises:
            ModelAccessError: a token or an accepted licence is missing.
            ModelIntegrityError: it is no longer what was listed.
            ModelDownloadError: the hub cannot be reached or refuses.
        """
        with self._asking(repo.name) as hub:
            url = hub.hf_hub_url(repo.name, file.path, revision=repo.commit, endpoint=self.endpoint)
            found = hub.get_hf_file_metadata(
                url, token=_token(hub), endpoint=self.endpoint, timeout=_timeout_s()
            )
        named = found.etag or ""
        is_name = _SHA256.fullmatch(named) or _SHA1.fullmatch(named)
        if (is_name and named != file.etag) or found.size not in (None, file.num_bytes):
            raise ModelIntegrityError(
                f"{file.path!r} in {repo.name!r} changed while it was fetched: listed were"
                f" {file.num_bytes} bytes as {file.etag}, now it is {found.size} as {named}",
                hint="run the same command again",
            )
        return str(found.location)

    @contextmanager
    def open_stream(self, repo: str, url: str, start: int = 0) -> Generator[Stream]:
        """The content behind `url` from the byte `start` on, or from 0.

        Raises:
            ModelDownloadError: it does not come, or breaks off.
        """
        wanted = {"Range": f"bytes={start}-"} if start else {}
        with self._asking(repo) as hub, self._get(hub, url, wanted) as response:
            # As it comes: pieces of a fixed size would lose what came of one that broke off.
            yield Stream(_first_byte(response), response.iter_bytes())

    def read_range(self, repo: RemoteRepo, file: RemoteFile, url: str, span: range) -> bytes:
        """The bytes of `file` within `span`, from its first on; fewer where the server likes.

        Raises:
            ModelRangeError: the server gives whole files only, or another part.
            ModelIntegrityError: the file is of another size than was listed.
            ModelDownloadError: they do not come.
        """
        found = bytearray()
        wanted = {"Range": f"bytes={span.start}-{span.stop - 1}"}
        with self._asking(repo.name) as hub, self._get(hub, url, wanted) as response:
            _require_part(response, file, span.start)
            for piece in response.iter_bytes(_PIECE_BYTES):
                found += piece
                # At its very end a body is read out, so that the connection can be used again.
                if len(found) > len(span):
                    break
        return bytes(found[: len(span)])

    def has_token(self) -> bool:
        """Whether the hub will know who asks."""
        return bool(_token(_library()))

    @contextmanager
    def _asking(self, repo: str) -> Generator[Any]:
        """The library, for as long as it may be asked about `repo`."""
        hub = _library()
        _install_check(hub.get_session())
        reset = _only_loopback.set(self._is_offline)
        try:
            with map_hub_errors(repo, self.endpoint, has_token=self.has_token()):
                yield hub
        finally:
            _only_loopback.reset(reset)

    def _get(
        self, hub: Any, url: str, wanted: Mapping[str, str]
    ) -> AbstractContextManager[httpx2.Response]:
        # A token is for the hub alone, and never for the host that it sends on to.
        token = _token(hub) if _origin(url) == _origin(self.endpoint) else None
        headers: dict[str, str] = hub.utils.build_hf_headers(
            token=token or False, library_name="edge-llm"
        )
        # Compressed pieces could be neither counted nor resumed.
        headers |= {"Accept-Encoding": "identity", **wanted}
        opening = hub.get_session().stream(
            "GET", url, headers=headers, timeout=_timeout_s(), follow_redirects=True
        )
        return _checked(hub, opening)


def lock_file(path: Path) -> AbstractContextManager[object]:
    """The lock that the library takes on the same path, so that its users wait for ours."""
    lock: AbstractContextManager[object] = _library().utils.WeakFileLock(path)
    return lock


def remove_library_noise() -> None:
    """Keep the library's own warnings off the terminal; for the command line alone."""
    _library().utils.logging.set_verbosity_error()


@contextmanager
def _checked(
    hub: Any, opening: AbstractContextManager[httpx2.Response]
) -> Generator[httpx2.Response]:
    with opening as response:
        hub.utils.hf_raise_for_status(response)
        yield response


def _library() -> Any:
    # Otherwise it tells the hub about this machine with every request.
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    import huggingface_hub
    import huggingface_hub.utils

    return huggingface_hub


def _install_check(session: httpx2.Client) -> None:
    """See every request of the session, those that follow a redirect too."""
    hooks = session.event_hooks
    if _check_request not in hooks["request"]:
        session.event_hooks = hooks | {"request": [*hooks["request"], _check_request]}


def _check_request(request: httpx2.Request) -> None:
    if _only_loopback.get():
        _require_loopback(str(request.url))


def _require_loopback(url: str) -> None:
    host = urlsplit(url).hostname or ""
    if not _LOOPBACK.fullmatch(host):
        raise HubOfflineError(
            f"{host!r} may not be asked: EDGE_LLM_OFFLINE is set",
            hint="unset it for this command, or bring the model with 'edge-llm models import DIR'",
        )


def _token(hub: Any) -> str | None:
    try:
        token: str | None = hub.get_token()
    except OSError as exc:
        raise ModelAccessError(
            f"your token cannot be read: {exc.strerror or exc}",
            hint=f"make {hub.constants.HF_TOKEN_PATH} readable, or set HF_TOKEN",
        ) from exc
    return token


def _timeout_s() -> float:
    from huggingface_hub import constants

    return float(constants.HF_HUB_DOWNLOAD_TIMEOUT)


def _require_commit(sha: str | None, endpoint: str) -> str:
    if sha is None or not _SHA1.fullmatch(sha):
        raise ModelDownloadError(
            f"{endpoint} does not answer as a hub does: it names the commit {sha!r}",
            hint="check HF_ENDPOINT",
        )
    return sha


def _remote_file(repo: str, entry: RepoFile) -> RemoteFile:
    """An entry of the listing, checked before any of it becomes a name on this disk."""
    path = PurePosixPath(entry.path)
    if (
        path.is_absolute()
        or ".." in path.parts
        or str(path) != entry.path
        or any(ord(c) < 0x20 or c == "\\" for c in entry.path)
    ):
        raise ModelIntegrityError(
            f"{repo!r} lists a file {entry.path!r}, which would be written outside of its folder",
            hint="do not use this repository",
        )
    sha256 = entry.lfs.sha256 if entry.lfs else None
    is_named = _SHA1.fullmatch(entry.blob_id) and (sha256 is None or _SHA256.fullmatch(sha256))
    if not is_named or entry.size < 0:
        raise ModelIntegrityError(f"{repo!r} lists {entry.path!r} without a hash of its content")
    return RemoteFile(entry.path, entry.size, entry.blob_id, sha256)


def _require_part(response: httpx2.Response, file: RemoteFile, start: int) -> None:
    """The body begins at `start` and is of the file that was listed."""
    first = _first_byte(response)
    if first != start:
        # From the start on, a whole file does as well: no more of it is read than was asked for.
        raise ModelRangeError(
            f"the server was asked for {file.path!r} from byte {start} on, and sends it from"
            f" {first} on",
            hint="it cannot give parts of files: pull the model, or use another mirror",
        )
    match = _RANGE.fullmatch(response.headers.get("Content-Range", ""))
    size = match["size"] if match else response.headers.get("Content-Length", "*")
    if size.isdigit() and int(size) != file.num_bytes:
        raise ModelIntegrityError(
            f"{file.path!r} is listed with {file.num_bytes} bytes, and the server has {size}",
            hint="try another mirror",
        )


def _first_byte(response: httpx2.Response) -> int:
    """Where the body of a response begins within the file."""
    if response.status_code != 206:
        return 0
    text = response.headers.get("Content-Range", "")
    match = _RANGE.fullmatch(text)
    if match is None:
        raise ModelDownloadError(f"the server sends a part without saying which: {text!r}")
    return int(match["start"])


def _origin(url: str) -> tuple[str, str]:
    parts = urlsplit(url)
    return parts.scheme, parts.netloc
