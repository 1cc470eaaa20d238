"""Models that are still on the hub, read from their headers: nothing else is fetched."""

from __future__ import annotations

from pathlib import Path

from edge_llm.hub.byte_source import RangeSource
from edge_llm.hub.client import HubClient, RemoteFile, RemoteRepo
from edge_llm.hub.client_errors import with_retries
from edge_llm.hub.gguf import GGUFFile
from edge_llm.hub.gguf_parse import parse_gguf


def read_remote_gguf(client: HubClient, repo: RemoteRepo, file: RemoteFile) -> GGUFFile:
    """The header of one GGUF file on the hub; of a split model, of that part alone.

    Raises:
        ModelFormatError: it is no sound GGUF file.
        ModelDownloadError: it cannot be read.
    """
    url = with_retries(lambda: client.locate(repo, file))

    def fetch(start: int, stop: int) -> bytes:
        return with_retries(lambda: client.read_range(repo.name, url, start, stop))

    source = RangeSource(file.path, file.num_bytes, fetch)
    return parse_gguf(Path(file.path), source)
