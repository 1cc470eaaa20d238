"""Pulling through the real client from a hub on loopback: what comes, and all that goes wrong."""

from __future__ import annotations

import errno
import logging
import os
import shutil
import threading
from pathlib import Path

import httpx2
import pytest
from huggingface_hub import errors, hf_hub_download, scan_cache_dir

from edge_llm.errors import (
    HubBusyError,
    HubOfflineError,
    InsufficientMemoryError,
    ModelAccessError,
    ModelDownloadError,
    ModelError,
    ModelIntegrityError,
    ModelNotFoundError,
    ModelNotInstalledError,
    ModelStoreError,
)
from edge_llm.hub import pull_plan, transfer
from edge_llm.hub.cache_layout import PARTIAL_SUFFIX, cache_root, repo_folder
from edge_llm.hub.client import HubClient, RemoteFile
from edge_llm.hub.client_errors import map_hub_errors
from edge_llm.hub.gguf import read_gguf
from edge_llm.hub.installed import installed_models
from edge_llm.hub.pull import pull
from edge_llm.hub.pull_plan import PullPlan, guess_memory, plan_pull
from edge_llm.hub.reference import parse_reference
from edge_llm.hub.resolve import resolve_model
from edge_llm.runtime.llm import EdgeLLM
from tests.hub.conftest import REPO
from tests.support.gguf_files import TinySpec, tiny_model
from tests.support.hub_models import onnx_repo, split_gguf
from tests.support.hub_server import Fault, HubFile, HubServer, make_file

FILE = "tiny-Q8_0.gguf"


class Seen:
    def __init__(self) -> None:
        self.last: dict[str, int] = {}

    def on_bytes(self, file: RemoteFile, num_bytes: int) -> None:
        self.last[file.path] = num_bytes


def plan(text: str = REPO, *, is_offline: bool = False) -> tuple[HubClient, PullPlan]:
    client, reference = HubClient(is_offline=is_offline), parse_reference(text)
    return client, plan_pull(client, reference, (reference.name,), guess_memory)


def fetch(text: str = REPO, seen: Seen | None = None) -> Path:
    client, planned = plan(text)
    return pull(client, planned, seen or Seen())


def content(hub: HubServer, path: str = FILE, repo: str = REPO) -> bytes:
    found = hub.repos[repo].commits[hub.repos[repo].main][path].content
    assert isinstance(found, bytes)
    return found


def partials() -> list[Path]:
    return sorted(cache_root().rglob(f"*{PARTIAL_SUFFIX}"))


def assert_nothing_loadable() -> None:
    assert installed_models() == []
    snapshots = [p for p in cache_root().glob("models--*/snapshots/*/**/*") if p.is_file()]
    blobs = [p for p in cache_root().glob("models--*/blobs/*") if PARTIAL_SUFFIX not in p.name]
    assert (snapshots, blobs) == ([], [])
    with pytest.raises(ModelNotInstalledError):
        resolve_model(REPO)


def test_a_pulled_model_answers(hub: HubServer) -> None:
    seen = Seen()
    path = fetch(seen=seen)

    assert path.read_bytes() == content(hub)
    assert seen.last == {FILE: len(content(hub))}
    with EdgeLLM(f"hf:{REPO}", context_size=64) as llm:
        answer = llm.chat("hello", max_tokens=3)
    assert answer.model == "tiny-Q8_0"


def test_other_tools_find_it_in_the_shared_cache(hub: HubServer) -> None:
    path = fetch()

    found = hf_hub_download(REPO, FILE, cache_dir=cache_root(), local_files_only=True)
    report = scan_cache_dir(cache_root())

    assert Path(found) == path
    assert report.warnings == []
    (repo,) = report.repos
    assert [(r.commit_hash, set(r.refs)) for r in repo.revisions] == [
        (hub.repos[REPO].main, {"main"})
    ]


def test_what_other_tools_fetched_is_not_fetched_again(hub: HubServer) -> None:
    hf_hub_download(REPO, FILE, cache_dir=cache_root(), endpoint=hub.url, token=False)
    hub.bytes_sent = 0

    _, planned = plan()
    fetch()

    assert (planned.missing_bytes, hub.bytes_sent) == (0, 0)


def test_a_split_model_comes_whole_and_loads(hub: HubServer) -> None:
    hub.add_repo("acme/split", split_gguf("m-Q4_K_M", 3))
    path = fetch("acme/split")

    assert path.name == "m-Q4_K_M-00001-of-00003.gguf"
    with EdgeLLM("acme/split", context_size=64) as llm:
        assert llm.chat("hello", max_tokens=2).model == "m-Q4_K_M"


def test_an_onnx_folder_comes_with_its_weights_and_tokenizer(hub: HubServer) -> None:
    hub.add_repo("acme/tiny-ONNX", onnx_repo() | {"onnx/model_fp16.onnx": b"x", "LICENSE": b"y"})
    path = fetch("acme/tiny-ONNX:onnx/model.onnx")

    names = set(repo_folder("acme/tiny-ONNX").files(hub.repos["acme/tiny-ONNX"].main))
    assert path.name == "model.onnx"
    assert names >= {"onnx/model.onnx_data", "tokenizer.json", "config.json"}
    assert not names & {"onnx/model_fp16.onnx", "LICENSE"}
    with EdgeLLM("acme/tiny-ONNX", context_size=64) as llm:
        assert llm.chat("hello", max_tokens=2).model == "tiny-ONNX:model"


def test_the_quantisation_that_fits_is_taken(
    hub: HubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = {"F16": 800, "Q4_K_M": 300, "Q2_K": 100}
    hub.add_repo("acme/sizes", {f"m-{q}.gguf": bytes(n << 20) for q, n in sizes.items()})
    free = {"F16": 2000, "Q4_K_M": 500, "Q2_K": 300}

    def choice(megabytes: int) -> str:
        monkeypatch.setattr(pull_plan, "available_memory_bytes", lambda: megabytes << 20)
        return plan("acme/sizes")[1].variant.quant

    assert choice(free["F16"]) == "Q4_K_M"
    assert choice(free["Q4_K_M"]) == "Q4_K_M"
    assert choice(free["Q2_K"]) == "Q2_K"
    with pytest.raises(InsufficientMemoryError, match=r"Q2_K takes 228\.0 MiB.*acme/sizes:Q2_K"):
        choice(200)
    assert not plan("acme/sizes:Q2_K")[1].fits


def test_a_quantisation_that_is_not_there_is_named_with_those_that_are(hub: HubServer) -> None:
    with pytest.raises(ModelNotFoundError, match="did you mean 'Q8_0'"):
        plan(f"{REPO}:Q8_1")


def test_a_repository_without_a_model_says_so(hub: HubServer) -> None:
    hub.add_repo("acme/text", {"README.md": b"x"})

    with pytest.raises(ModelNotFoundError, match="no GGUF or ONNX model"):
        plan("acme/text")


def test_a_repository_or_revision_that_is_not_there_says_so(hub: HubServer) -> None:
    with pytest.raises(ModelNotFoundError, match="or none that you may see"):
        plan("acme/none")
    with pytest.raises(ModelNotFoundError, match="no such branch"):
        plan(f"hf:{REPO}@v9")


def test_a_revision_is_kept_apart(hub: HubServer) -> None:
    old = hub.repos[REPO].main
    hub.repos[REPO].tags["v1"] = old
    hub.change(REPO, {FILE: tiny_model(TinySpec(seed=5))})

    tagged, current = fetch(f"hf:{REPO}@v1"), fetch()

    assert tagged.read_bytes() != current.read_bytes()
    assert resolve_model(f"hf:{REPO}@v1").path == tagged
    assert resolve_model(f"hf:{REPO}@{old}").path == tagged
    assert resolve_model(REPO).path == current


def test_a_gated_model_says_where_to_accept_and_how_to_prove_it(
    hub: HubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.add_repo("acme/gated", {FILE: content(hub)}, gated="manual")

    with pytest.raises(ModelAccessError, match=f"accept it at {hub.url}/acme/gated; then set HF_T"):
        fetch("acme/gated")
    monkeypatch.setenv("HF_TOKEN", hub.token)
    with pytest.raises(ModelAccessError, match=r"accept it at [^;]*/acme/gated\)$"):
        fetch("acme/gated")
    hub.granted.add("acme/gated")
    assert fetch("acme/gated").read_bytes() == content(hub)
    monkeypatch.setenv("HF_TOKEN", "hf_wrong")
    with pytest.raises(ModelAccessError, match="does not know your token"):
        plan("acme/gated")


def test_a_token_is_for_the_hub_alone(hub: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", hub.token)
    fetch()

    has_token = {r.host: "authorization" in r.headers for r in hub.requests}
    assert has_token == {"hub": True, "cdn": False}


def test_nothing_is_told_about_this_machine(hub: HubServer) -> None:
    fetch()

    assert all("agent-harnesses" not in r.path for r in hub.requests)


@pytest.mark.parametrize("is_reset", [False, True])
def test_a_cut_connection_goes_on_where_it_stopped(hub: HubServer, is_reset: bool) -> None:
    hub.cut(FILE, after=50_000, times=2, is_reset=is_reset)

    assert fetch().read_bytes() == content(hub)
    ranges = [r.range for r in hub.requests if r.host == "cdn"]
    assert ranges[0] is None
    assert all(r and r.startswith("bytes=") for r in ranges[1:])
    assert is_reset or hub.bytes_sent == len(content(hub))


def test_a_pull_that_gave_up_goes_on_with_the_next_command(hub: HubServer) -> None:
    hub.cut(FILE, after=50_000)
    hub.fail(FILE, 503, times=100, method="GET")

    with pytest.raises(HubBusyError, match="fails with status 503"):
        fetch()
    assert_nothing_loadable()
    assert [p.stat().st_size for p in partials()] == [50_000]
    hub.clear_faults()
    assert plan()[1].missing_bytes == len(content(hub)) - 50_000
    assert fetch().read_bytes() == content(hub)
    assert (partials(), hub.bytes_sent) == ([], len(content(hub)))


def test_a_server_without_ranges_begins_anew(hub: HubServer) -> None:
    hub.cut(FILE, after=50_000)
    hub.add_fault(Fault(FILE, host="cdn", ignore_range=True))

    assert fetch().read_bytes() == content(hub)


def test_what_lies_here_damaged_is_fetched_anew(hub: HubServer) -> None:
    hub.cut(FILE, after=50_000)
    hub.fail(FILE, 503, times=100, method="GET")
    with pytest.raises(HubBusyError):
        fetch()
    hub.clear_faults()
    (partial,) = partials()
    partial.write_bytes(bytes(50_000))

    assert fetch().read_bytes() == content(hub)


def test_a_partial_file_that_is_too_long_is_fetched_anew(hub: HubServer) -> None:
    _, planned = plan()
    partial = planned.folder.partial(planned.files[0].etag)
    partial.parent.mkdir(parents=True)
    partial.write_bytes(bytes(len(content(hub)) + 1))

    assert fetch().read_bytes() == content(hub)


def test_wrong_content_is_thrown_away(hub: HubServer) -> None:
    hub.deliver_other(REPO, FILE, content(hub)[:-1] + b"\xff")

    with pytest.raises(ModelIntegrityError, match="arrived with the hash"):
        fetch()
    assert_nothing_loadable()
    assert partials() == []


def test_content_that_changes_in_the_middle_is_thrown_away(hub: HubServer) -> None:
    hub.cut(FILE, after=50_000)
    hub.fail(FILE, 503, times=100, method="GET")
    with pytest.raises(HubBusyError):
        fetch()
    hub.clear_faults()
    hub.deliver_other(REPO, FILE, bytes(len(content(hub))))

    with pytest.raises(ModelIntegrityError, match="arrived with the hash"):
        fetch()
    assert_nothing_loadable()


def test_content_that_is_too_long_is_refused(hub: HubServer) -> None:
    good = content(hub)
    hub.deliver_other(REPO, FILE, good)
    files = hub.repos[REPO].commits[hub.repos[REPO].main]
    old = files[FILE]
    files[FILE] = HubFile(good + b"more", old.size + 4, old.blob_id, old.sha256)

    with pytest.raises(ModelIntegrityError, match="has more than"):
        fetch()
    assert_nothing_loadable()


def test_a_changed_etag_is_noticed_before_anything_comes(hub: HubServer) -> None:
    client, planned = plan()
    commit = hub.repos[REPO].main
    hub.repos[REPO].commits[commit][FILE] = make_file(FILE, bytes(len(content(hub))))

    with pytest.raises(ModelIntegrityError, match="changed while it was fetched"):
        pull(client, planned, Seen())
    assert_nothing_loadable()


def test_a_new_commit_in_the_middle_changes_nothing(hub: HubServer) -> None:
    client, planned = plan()
    old = content(hub)
    hub.change(REPO, {FILE: tiny_model(TinySpec(seed=9))})

    assert pull(client, planned, Seen()).read_bytes() == old


def test_an_interrupted_update_leaves_the_old_model_in_place(hub: HubServer) -> None:
    old = fetch()
    hub.change(REPO, {FILE: tiny_model(TinySpec(seed=9))})
    hub.cut(FILE, after=1000)
    hub.fail(FILE, 503, times=100, method="GET")

    with pytest.raises(HubBusyError):
        fetch()
    assert resolve_model(REPO).path == old


def test_the_hub_is_given_the_time_that_it_asks_for(
    hub: HubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses: list[float] = []
    monkeypatch.setattr("time.sleep", pauses.append)
    hub.fail(f"/api/models/{REPO}", 429, Retry_After="7")
    hub.fail(FILE, 429, times=1, method="GET", Retry_After="3")

    assert fetch().read_bytes() == content(hub)
    assert pauses == [7.0, 3.0]


@pytest.mark.parametrize(("status", "text"), [(429, "fewer requests"), (500, "status 500")])
def test_a_hub_that_stays_busy_is_an_error(hub: HubServer, status: int, text: str) -> None:
    hub.fail(f"/api/models/{REPO}", status, times=100)

    with pytest.raises(HubBusyError, match=text):
        plan()


def test_a_hub_that_is_not_there_is_an_error(
    hub: HubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")

    with pytest.raises(ModelDownloadError, match=r"127\.0\.0\.1:9 cannot be reached"):
        plan()


def test_an_endpoint_that_is_no_hub_is_an_error(
    hub: HubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", f"{hub.url}/elsewhere")

    with pytest.raises(ModelDownloadError, match="status 404"):
        plan()


@pytest.mark.parametrize(
    "name", ["../../evil-Q8_0.gguf", "/tmp/evil-Q8_0.gguf", "a/../../evil.gguf", "a\\b.gguf"]
)
def test_a_listing_that_leads_out_is_refused_whole(
    hub: HubServer, tmp_path: Path, name: str
) -> None:
    hub.add_repo("evil/paths", {name: b"x", "good-Q8_0.gguf": b"y"})

    with pytest.raises(ModelIntegrityError, match="outside of its folder"):
        fetch("evil/paths")
    assert list(tmp_path.rglob("*evil*")) == []


def test_a_link_in_the_cache_that_leads_out_is_not_followed(hub: HubServer, tmp_path: Path) -> None:
    hub.add_repo("acme/nested", {"sub/m-Q8_0.gguf": content(hub)})
    snapshot = repo_folder("acme/nested").snapshot(hub.repos["acme/nested"].main)
    snapshot.mkdir(parents=True)
    (tmp_path / "elsewhere").mkdir()
    (snapshot / "sub").symlink_to(tmp_path / "elsewhere")

    with pytest.raises(ModelStoreError, match="leads out of the cache"):
        fetch("acme/nested")
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_a_hub_that_promises_no_hash_is_not_believed(hub: HubServer) -> None:
    file = HubFile(b"x", 1, "../../x", None)
    hub.add_repo("evil/hash", {"m-Q8_0.gguf": file})

    with pytest.raises(ModelIntegrityError, match="without a hash"):
        plan("evil/hash")


def test_a_disk_that_is_too_full_is_noticed_first(
    hub: HubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage("/")._replace(free=1 << 20)
    monkeypatch.setattr("shutil.disk_usage", lambda place: usage)
    client, planned = plan()
    hub.requests.clear()

    with pytest.raises(ModelStoreError, match=r"needs .* more .* 1\.0 MiB are free"):
        pull(client, planned, Seen())
    assert hub.requests == []


def test_a_disk_that_fills_up_keeps_what_came(
    hub: HubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = transfer._write
    pieces: list[int] = []

    def write(descriptor: int, piece: bytes) -> None:
        if pieces:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        pieces.append(len(piece))
        written(descriptor, piece)

    monkeypatch.setattr(transfer, "_write", write)
    with pytest.raises(ModelStoreError, match="free some space and run the same command again"):
        fetch()
    assert_nothing_loadable()
    assert [p.stat().st_size for p in partials()] == pieces
    monkeypatch.setattr(transfer, "_write", written)
    assert fetch().read_bytes() == content(hub)


@pytest.mark.usefixtures("unprivileged")
def test_a_cache_that_cannot_be_written_says_so(
    hub: HubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The folders of the test itself are closed to whoever is not their owner.
    monkeypatch.setenv("HF_TOKEN", hub.token)
    with pytest.raises(ModelStoreError, match="set HF_HOME to a folder that is"):
        fetch()


def test_a_model_in_a_read_only_cache_still_loads(hub: HubServer) -> None:
    path = fetch()
    folder = repo_folder(REPO).path
    for place in [folder, *folder.rglob("*")]:
        if not place.is_symlink():
            place.chmod(0o555 if place.is_dir() else 0o444)

    assert resolve_model(REPO).path == path
    assert fetch() == path
    for place in [folder, *folder.rglob("*")]:
        if place.is_dir():
            place.chmod(0o755)


def test_a_disk_without_links_gets_the_files_themselves(
    hub: HubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: Path, target: str) -> None:
        raise OSError(errno.EPERM, "no links here")

    monkeypatch.setattr(Path, "symlink_to", refuse)
    path = fetch()

    assert not path.is_symlink()
    assert path.read_bytes() == content(hub)
    assert plan()[1].missing_bytes == 0


def test_two_pulls_at_once_fetch_it_once(hub: HubServer) -> None:
    hold = threading.Event()
    hub.add_fault(Fault(FILE, host="cdn", cut_after=1000, hold=hold))
    found: list[Path] = []
    threads = [threading.Thread(target=lambda: found.append(fetch())) for _ in range(2)]
    for thread in threads:
        thread.start()
    hold.set()
    for thread in threads:
        thread.join(60)

    assert [path.read_bytes() for path in found] == [content(hub)] * 2
    assert len([r for r in hub.requests if r.host == "cdn"]) == 1


def test_offline_forbids_the_hub_but_not_this_machine(
    hub: HubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    client, planned = plan(is_offline=True)
    assert pull(client, planned, Seen()).read_bytes() == content(hub)

    monkeypatch.setenv("HF_ENDPOINT", "https://huggingface.co")
    with pytest.raises(HubOfflineError, match="EDGE_LLM_OFFLINE is set"):
        HubClient(is_offline=True)


def test_offline_a_redirect_may_not_lead_away_either(hub: HubServer) -> None:
    hub.add_fault(Fault(FILE, method="HEAD", status=302, headers=away(hub)))
    client, planned = plan(is_offline=True)

    with pytest.raises(HubOfflineError, match=r"'cdn\.example' may not be asked"):
        pull(client, planned, Seen())


def away(hub: HubServer) -> dict[str, str]:
    file = hub.repos[REPO].commits[hub.repos[REPO].main][FILE]
    return {
        "Location": "http://cdn.example/file",
        "X-Repo-Commit": hub.repos[REPO].main,
        "X-Linked-Etag": f'"{file.etag}"',
        "X-Linked-Size": str(file.size),
    }


def test_the_log_says_that_it_goes_on(hub: HubServer, caplog: pytest.LogCaptureFixture) -> None:
    hub.cut(FILE, after=50_000)
    with caplog.at_level(logging.INFO):
        fetch()

    assert "broke off at 50000 bytes" in caplog.text


def test_the_header_on_the_hub_says_what_the_file_says(hub: HubServer, tmp_path: Path) -> None:
    from edge_llm.hub.remote_model import read_remote_gguf

    client, planned = plan()
    remote = read_remote_gguf(client, planned.repo, planned.files[-1])
    local = read_gguf(fetch())

    assert (dict(remote.metadata), dict(remote.tensors)) == (
        dict(local.metadata),
        dict(local.tensors),
    )


def test_a_file_in_xet_storage_comes_by_ranges_too(hub: HubServer) -> None:
    data = tiny_model(TinySpec(seed=3))
    hub.add_repo("acme/xet", {FILE: make_file(FILE, data, is_xet=True)})
    hub.cut(FILE, after=50_000)

    assert fetch("acme/xet").read_bytes() == data
    assert all("xet-read-token" not in r.path for r in hub.requests)


def http_errors() -> list[type[errors.HfHubHTTPError]]:
    found = [errors.HfHubHTTPError]
    for kind in found:
        found += kind.__subclasses__()
    return found


@pytest.mark.parametrize("kind", http_errors(), ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("status", [400, 401, 403, 404, 429, 500, 503])
def test_no_error_of_the_library_passes_unmapped(
    kind: type[errors.HfHubHTTPError], status: int
) -> None:
    request = httpx2.Request("GET", "http://127.0.0.1/api/models/a/b")
    error = kind("it failed", response=httpx2.Response(status, request=request))

    with (
        pytest.raises(ModelError) as caught,
        map_hub_errors("a/b", "http://127.0.0.1", has_token=False),
    ):
        raise error
    assert caught.value.message
