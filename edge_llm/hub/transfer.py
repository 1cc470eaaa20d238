"""One file from the hub into the shared cache: resumed, hashed on the way, visible when whole.

Content arrives in a partial file beside the blobs. It becomes a blob by renaming, after its hash is
the promised one and the disk has it; so no name that anything loads ever stands for a part of it.
"""

from __future__ import annotations

import errno
import hashlib
import logging
import os
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from edge_llm.errors import ModelDownloadError, ModelIntegrityError, ModelStoreError
from edge_llm.hub.cache_layout import RepoFolder
from edge_llm.hub.client import HubClient, RemoteFile, RemoteRepo, lock_file
from edge_llm.hub.client_errors import ATTEMPTS, GO_ON, is_passing, pause_s, with_retries

if TYPE_CHECKING:
    from hashlib import _Hash

logger = logging.getLogger(__name__)

_BLOCK_BYTES = 4 << 20

OnBytes = Callable[[int], None]
"""Told how many bytes of the file are here now; fewer than before where it began anew."""


def fetch_blob(
    client: HubClient, repo: RemoteRepo, file: RemoteFile, folder: RepoFolder, on_bytes: OnBytes
) -> Path:
    """The blob with the content of `file`, fetched unless it is there.

    Raises:
        ModelDownloadError: it does not come; what came is kept for the next try.
        ModelIntegrityError: what came is not what was promised.
        ModelStoreError: the disk cannot take it.
    """
    blob = folder.blobs / file.etag
    with store_errors(folder.path):
        folder.blobs.mkdir(parents=True, exist_ok=True)
        lock = folder.lock_path(file.etag)
        lock.parent.mkdir(parents=True, exist_ok=True)
        # Who comes second waits here, and then finds the blob.
        with lock_file(lock):
            if not has_size(blob, file.num_bytes):
                _fetch(client, repo, file, folder.partial(file.etag), on_bytes)
                os.replace(folder.partial(file.etag), blob)
                sync_folder(folder.blobs)
    on_bytes(file.num_bytes)
    return blob


def has_size(path: Path, num_bytes: int) -> bool:
    """Whether there is a file of that size."""
    try:
        return path.is_file() and path.stat().st_size == num_bytes
    except OSError:
        return False


def content_hash(kind_of: str, num_bytes: int) -> _Hash:
    """A hash to be fed with a content: SHA-256 for a name of 64 digits, git's SHA-1 for one of 40.

    Source: git-hash-object(1): SHA-1 of `blob <size>`, a zero byte and the content.
    """
    if len(kind_of) == 64:
        return hashlib.sha256()
    return hashlib.sha1(b"blob %d\0" % num_bytes, usedforsecurity=False)


def hash_file(path: Path, kind_of: str, on_bytes: OnBytes | None = None) -> str:
    """The hash of a file, of the kind that `kind_of` is.

    Raises:
        OSError: it cannot be read.
    """
    digest = content_hash(kind_of, path.stat().st_size)
    done = 0
    with path.open("rb") as stream:
        while block := stream.read(_BLOCK_BYTES):
            digest.update(block)
            done += len(block)
            if on_bytes is not None:
                on_bytes(done)
    return digest.hexdigest()


@contextmanager
def store_errors(folder: Path) -> Generator[None]:
    """Let what the disk refuses leave as a `ModelStoreError` that says what to do."""
    try:
        yield
    except OSError as exc:
        if isinstance(exc, TimeoutError):
            raise
        hint = _STORE_HINTS.get(exc.errno or 0, "check the folder, or set HF_HOME to another one")
        raise ModelStoreError(
            f"{str(folder)!r} cannot be written: {exc.strerror or exc}", hint=hint
        ) from exc


_READ_ONLY = "make it writable, or set HF_HOME to a folder that is"
_STORE_HINTS = {
    errno.ENOSPC: "free some space and run the same command again: it goes on where it stopped",
    errno.EDQUOT: "your quota is used up: free some space, then run the same command again",
    errno.EROFS: _READ_ONLY,
    errno.EACCES: _READ_ONLY,
    errno.EPERM: _READ_ONLY,
}


def _fetch(
    client: HubClient, repo: RemoteRepo, file: RemoteFile, partial: Path, on_bytes: OnBytes
) -> None:
    """Make `partial` the whole content of `file`, known to be it, and on the disk."""
    was_resumed = partial.exists() and partial.stat().st_size > 0
    digest = _fetch_to_end(client, repo, file, partial, on_bytes)
    if digest != file.etag and was_resumed:
        # What lay here may have been damaged since, by a power cut or by somebody else.
        logger.warning("%s does not match its hash and is fetched anew", file.path)
        partial.unlink()
        digest = _fetch_to_end(client, repo, file, partial, on_bytes)
    if digest != file.etag:
        partial.unlink()
        raise ModelIntegrityError(
            f"{file.path!r} of {repo.name!r} arrived with the hash {digest}, and the hub promises"
            f" {file.etag}; it was thrown away",
            hint="try again, or without the mirror in HF_ENDPOINT",
        )


def _fetch_to_end(
    client: HubClient, repo: RemoteRepo, file: RemoteFile, partial: Path, on_bytes: OnBytes
) -> str:
    """Add to `partial` until it has all bytes; their hash. Gives up where nothing more comes."""
    with partial.open("a+b") as stream:
        digest, size = _rehash(stream.fileno(), file)
        transfer = _Transfer(stream.fileno(), digest, size, file, on_bytes)
        failures = 0
        while transfer.size < file.num_bytes:
            before = transfer.size
            try:
                url = with_retries(lambda: client.locate(repo, file))
                with client.open_stream(repo.name, url, transfer.size) as source:
                    transfer.take(source.start, source.pieces)
            except ModelDownloadError as exc:
                failures = 0 if transfer.size > before else failures + 1
                if not is_passing(exc) or failures >= ATTEMPTS:
                    raise
                logger.info("%s broke off at %d bytes: %s", file.path, transfer.size, exc.message)
                time.sleep(pause_s(exc, failures))
        os.fsync(stream.fileno())
        return transfer.digest.hexdigest()


def _rehash(descriptor: int, file: RemoteFile) -> tuple[_Hash, int]:
    """The hash of what is there, and its size; nothing of what cannot be the beginning."""
    if os.fstat(descriptor).st_size > file.num_bytes:
        os.ftruncate(descriptor, 0)
    digest = content_hash(file.etag, file.num_bytes)
    size = 0
    while block := os.pread(descriptor, _BLOCK_BYTES, size):
        digest.update(block)
        size += len(block)
    return digest, size


class _Transfer:
    """What has come of one file, and its hash."""

    def __init__(
        self, descriptor: int, digest: _Hash, size: int, file: RemoteFile, on_bytes: OnBytes
    ) -> None:
        self.digest = digest
        self.size = size
        self._descriptor = descriptor
        self._file = file
        self._on_bytes = on_bytes

    def take(self, start: int, pieces: Iterator[bytes]) -> None:
        """Append pieces of the file that begin at `start`.

        Raises:
            ModelIntegrityError: there are more than the file should have.
            ModelDownloadError: they end early, or are from another place.
        """
        if start == 0 and self.size:
            os.ftruncate(self._descriptor, 0)
            self.digest = content_hash(self._file.etag, self._file.num_bytes)
            self.size = 0
        if start != self.size:
            raise ModelDownloadError(f"asked for byte {self.size}, the server sends byte {start}")
        for piece in pieces:
            if self.size + len(piece) > self._file.num_bytes:
                raise ModelIntegrityError(
                    f"{self._file.path!r} has more than the {self._file.num_bytes} bytes that the"
                    " hub promises",
                    hint="try again, or without the mirror in HF_ENDPOINT",
                )
            _write(self._descriptor, piece)
            self.digest.update(piece)
            self.size += len(piece)
            self._on_bytes(self.size)
        if self.size < self._file.num_bytes:
            raise ModelDownloadError(
                f"{self._file.path!r} broke off after {self.size} bytes", hint=GO_ON
            )


def _write(descriptor: int, piece: bytes) -> None:
    left = memoryview(piece)
    while left:
        left = left[os.write(descriptor, left) :]


def sync_folder(folder: Path) -> None:
    """Let new names in a folder survive a power cut, where the system can."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError:  # Windows opens no folders
        return
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
