"""Models that are still on the hub, read from their headers and their small files alone."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from edge_llm.errors import ModelFormatError, ModelNotFoundError
from edge_llm.hub.byte_source import MAX_FETCHED_BYTES, RangeSource
from edge_llm.hub.client import HubClient, RemoteFile, RemoteRepo
from edge_llm.hub.client_errors import with_retries
from edge_llm.hub.gguf import GGUFFile
from edge_llm.hub.gguf_parse import parse_gguf
from edge_llm.hub.gguf_split import join_parts
from edge_llm.hub.variants import ONNX_COMPANIONS, Variant


class RemoteReader:
    """Reads parts of the files of one repository, and counts what it fetched."""

    def __init__(self, client: HubClient, repo: RemoteRepo) -> None:
        self.repo = repo
        self.fetched_bytes = 0
        self._client = client

    def read_gguf(self, path: str, *, whole: bool = True) -> GGUFFile:
        """The header of a GGUF file; of a split model, with `whole`, those of all parts as one.

        Raises:
            ModelFormatError: it is no sound GGUF file.
            ModelRangeError: the server gives whole files only.
            ModelDownloadError: it cannot be read.
        """
        first = self._parse(Path(path))
        return join_parts(first, self._parse) if whole else first

    def read_file(self, path: str) -> bytes:
        """A small file, all of it.

        Raises:
            ModelFormatError: it is too large for what it should be.
            ModelDownloadError: it cannot be read.
        """
        file = self._file(path)
        if file.num_bytes > MAX_FETCHED_BYTES:
            raise ModelFormatError(f"{path!r} in {self.repo.name!r} has {file.num_bytes} bytes")
        if not file.num_bytes:
            return b""
        source = self._source(file)
        source.require(file.num_bytes)
        return bytes(source.data)

    def save_companions(self, variant: Variant, folder: Path) -> Path:
        """Write what stands beside a graph into a folder, and return where the graph would be.

        Raises:
            ModelFormatError: one of the files is too large.
            ModelDownloadError: one cannot be read.
        """
        for path in variant.files:
            if PurePosixPath(path).name in ONNX_COMPANIONS:
                # Names in a listing were checked not to lead anywhere else.
                target = folder / path
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(self.read_file(path))
        return folder / variant.entry

    def _parse(self, path: Path) -> GGUFFile:
        return parse_gguf(path, self._source(self._file(path.as_posix())))

    def _source(self, file: RemoteFile) -> RangeSource:
        url = with_retries(lambda: self._client.locate(self.repo, file))

        def fetch(start: int, stop: int) -> bytes:
            span = range(start, stop)
            read = with_retries(lambda: self._client.read_range(self.repo, file, url, span))
            self.fetched_bytes += len(read)
            return read

        return RangeSource(file.path, file.num_bytes, fetch)

    def _file(self, path: str) -> RemoteFile:
        file = self.repo.files.get(path)
        if file is None:
            raise ModelNotFoundError(f"{self.repo.name!r} has no file {path!r}")
        return file


def read_remote_gguf(client: HubClient, repo: RemoteRepo, file: RemoteFile) -> GGUFFile:
    """The header of one GGUF file on the hub; of a split model, of that part alone.

    Raises:
        ModelFormatError: it is no sound GGUF file.
        ModelDownloadError: it cannot be read.
    """
    return RemoteReader(client, repo).read_gguf(file.path, whole=False)
