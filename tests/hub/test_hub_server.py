"""The loopback hub against the real client, so that what is tested with it means something."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from huggingface_hub import HfApi, hf_hub_download, snapshot_download
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    RemoteEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.file_download import get_hf_file_metadata
from huggingface_hub.hf_api import RepoFile

from tests.support.hub_server import HubServer, git_blob_id

DATA = bytes(range(256)) * 4096


@pytest.fixture
def hub() -> Iterator[HubServer]:
    with HubServer(page_size=2) as server:
        server.add_repo(
            "acme/tiny",
            {"tiny-Q4_K_M.gguf": DATA, "config.json": b"{}", "onnx/model.onnx": b"x", "a.md": b""},
        )
        yield server


def api(hub: HubServer, token: str | bool = False) -> HfApi:
    return HfApi(endpoint=hub.url, token=token)


def test_the_client_reads_facts_and_every_page_of_the_tree(hub: HubServer) -> None:
    info = api(hub).model_info("acme/tiny")
    tree = list(api(hub).list_repo_tree("acme/tiny", recursive=True))
    files = {entry.path: entry for entry in tree if isinstance(entry, RepoFile)}

    assert (info.sha, info.gated) == (hub.repos["acme/tiny"].main, False)
    assert sorted(files) == ["a.md", "config.json", "onnx/model.onnx", "tiny-Q4_K_M.gguf"]
    assert files["config.json"].blob_id == git_blob_id(b"{}")
    assert files["tiny-Q4_K_M.gguf"].lfs is not None
    assert len([r for r in hub.requests if "/tree/" in r.path]) == 3


def test_the_client_downloads_through_redirects(hub: HubServer, tmp_path: Path) -> None:
    folder = snapshot_download("acme/tiny", endpoint=hub.url, cache_dir=tmp_path, token=False)

    assert (Path(folder) / "tiny-Q4_K_M.gguf").read_bytes() == DATA
    assert (Path(folder) / "config.json").read_bytes() == b"{}"
    assert {r.host for r in hub.requests} == {"hub", "cdn"}


def test_the_client_gets_the_name_of_the_content_and_no_token_leaves(hub: HubServer) -> None:
    url = f"{hub.url}/acme/tiny/resolve/main/tiny-Q4_K_M.gguf"
    found = get_hf_file_metadata(url, token=hub.token)

    assert found.size == len(DATA)
    assert (
        found.etag
        == hub.repos["acme/tiny"].commits[found.commit_hash or ""]["tiny-Q4_K_M.gguf"].sha256
    )
    assert found.location.startswith(hub.cdn_url)


def test_the_client_survives_a_cut_connection(hub: HubServer, tmp_path: Path) -> None:
    hub.cut("tiny-Q4_K_M.gguf", after=100_000)

    path = hf_hub_download(
        "acme/tiny", "tiny-Q4_K_M.gguf", endpoint=hub.url, cache_dir=tmp_path, token=False
    )

    assert Path(path).read_bytes() == DATA
    assert len([r for r in hub.requests if r.host == "cdn"]) == 2


def test_the_client_knows_each_refusal(hub: HubServer) -> None:
    hub.add_repo("acme/gated", {"m.gguf": b"x"}, gated="manual")
    hub.add_repo("acme/secret", {"m.gguf": b"x"}, private=True)
    file = f"{hub.url}/{{}}/resolve/{{}}/{{}}"

    with pytest.raises(RepositoryNotFoundError):
        api(hub).model_info("acme/none")
    with pytest.raises(RepositoryNotFoundError):
        api(hub).model_info("acme/secret")
    with pytest.raises(RevisionNotFoundError):
        api(hub).model_info("acme/tiny", revision="v9")
    with pytest.raises(RemoteEntryNotFoundError):
        get_hf_file_metadata(file.format("acme/tiny", "main", "no.gguf"), token=False)
    for token in (False, hub.token):
        with pytest.raises(GatedRepoError):
            get_hf_file_metadata(file.format("acme/gated", "main", "m.gguf"), token=token)
    with pytest.raises(HfHubHTTPError, match="401"):
        api(hub, "hf_wrong").model_info("acme/tiny")
    hub.granted.add("acme/gated")
    assert get_hf_file_metadata(file.format("acme/gated", "main", "m.gguf"), token=hub.token).size
