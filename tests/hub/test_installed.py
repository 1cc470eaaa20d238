"""References to what was pulled: found on the disk, without a request."""

import socket
import subprocess
import sys
from pathlib import Path

import pytest

from edge_llm.errors import ModelNotFoundError, ModelNotInstalledError
from edge_llm.hub.cache_layout import cache_root, repo_folder
from edge_llm.hub.client import HubClient
from edge_llm.hub.installed import installed_models
from edge_llm.hub.pull import pull
from edge_llm.hub.pull_plan import guess_memory, plan_pull
from edge_llm.hub.reference import parse_reference
from edge_llm.hub.registry import repositories
from edge_llm.hub.resolve import resolve_model
from edge_llm.runtime.llm import EdgeLLM
from edge_llm.types import SamplingParams
from tests.hub.conftest import REPO
from tests.hub.test_pull import Seen, content
from tests.support.gguf_files import TinySpec, build_gguf, tiny_metadata, tiny_tensors
from tests.support.hub_server import HubServer

ROOT = Path(__file__).resolve().parents[2]

LOADING_WITHOUT_SOCKETS = """
import socket, sys

def refuse(*args, **kwargs):
    raise AssertionError("a socket was opened")

socket.socket.connect = socket.socket.connect_ex = refuse
socket.getaddrinfo = socket.create_connection = refuse
import edge_llm

with edge_llm.load(sys.argv[1], context_size=64) as llm:
    assert llm.chat("hello", max_tokens=2).usage.completion_tokens
assert not {"huggingface_hub", "httpx2"} & set(sys.modules), "the hub's library was imported"
print("answered")
"""


def fetch(text: str) -> Path:
    client, reference = HubClient(), parse_reference(text)
    names = repositories(reference)
    return pull(client, plan_pull(client, reference, names, guess_memory), Seen())


@pytest.mark.parametrize(
    "text", [REPO, f"hf:{REPO}", f"{REPO}:Q8_0", f"hf:{REPO}@main:tiny-Q8_0.gguf", f"{REPO}:gguf"]
)
def test_every_form_of_a_pulled_model_leads_to_it(hub: HubServer, text: str) -> None:
    path = fetch(REPO)

    assert resolve_model(text).path == path


@pytest.mark.parametrize("form", ["hf:{repo}", "{path}", "qwen3-0.6b"])
def test_loading_makes_no_request_at_all(hub: HubServer, form: str) -> None:
    (catalogue_repo, *_) = repositories(parse_reference("qwen3-0.6b"))
    hub.add_repo(catalogue_repo, {"Qwen3-0.6B-Q8_0.gguf": content(hub)})
    path = fetch("qwen3-0.6b")
    hub.requests.clear()

    done = subprocess.run(
        [
            sys.executable,
            "-c",
            LOADING_WITHOUT_SOCKETS,
            form.format(repo=catalogue_repo, path=path),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=100,
    )

    assert (done.returncode, done.stdout.strip()) == (0, "answered"), done.stderr
    assert hub.requests == []


def test_a_model_that_is_not_here_names_the_command(
    hub: HubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*args: object) -> None:
        raise AssertionError("a socket was opened")

    monkeypatch.setattr(socket.socket, "connect", refuse)

    for text in (REPO, f"{REPO}:Q4_K_M", "qwen3-0.6b", f"hf:{REPO}@v1"):
        with pytest.raises(ModelNotInstalledError) as caught:
            resolve_model(text)
        assert caught.value.pull_command == f"edge-llm pull {text}"
        assert caught.value.hint == f"fetch it with: edge-llm pull {text}"


def test_another_quantisation_that_is_here_is_named(hub: HubServer) -> None:
    fetch(REPO)

    with pytest.raises(ModelNotInstalledError, match="here are Q8_0"):
        resolve_model(f"{REPO}:Q4_K_M")


def test_a_slip_in_a_catalogue_name_is_noticed() -> None:
    with pytest.raises(ModelNotFoundError, match=r"did you mean 'qwen3-0\.6b'"):
        resolve_model("qwen3-0.6")


def test_a_path_goes_before_a_repository(
    hub: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "acme").mkdir()
    (tmp_path / REPO).write_bytes(content(hub))

    assert resolve_model(REPO).path == tmp_path / REPO


def test_an_incomplete_split_model_is_not_installed(hub: HubServer) -> None:
    folder = repo_folder("acme/half").snapshot("0" * 40)
    folder.mkdir(parents=True)
    (folder / "m-Q4_0-00001-of-00002.gguf").write_bytes(b"GGUF")

    assert installed_models() == []
    with pytest.raises(ModelNotInstalledError):
        resolve_model("acme/half")


def test_a_model_of_an_older_commit_is_found_when_main_has_none(hub: HubServer) -> None:
    path = fetch(REPO)
    folder = repo_folder(REPO)
    newer = folder.snapshot("f" * 40)
    newer.mkdir()
    (newer / "README.md").write_text("another tool fetched this")
    folder.ref_path(None).write_text("f" * 40)

    assert resolve_model(REPO).path == path


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({"HF_HUB_CACHE": "/a"}, "/a"),
        ({"HUGGINGFACE_HUB_CACHE": "/b", "HF_HOME": "/x"}, "/b"),
        ({"HF_HOME": "/c"}, "/c/hub"),
        ({"XDG_CACHE_HOME": "/d"}, "/d/huggingface/hub"),
    ],
)
def test_the_cache_is_where_the_library_has_it(environ: dict[str, str], expected: str) -> None:
    assert cache_root(environ) == Path(expected)
    done = subprocess.run(
        [sys.executable, "-c", "from huggingface_hub.constants import *; print(HF_HUB_CACHE)"],
        env=environ,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == expected


@pytest.mark.parametrize("worker", [False, True])
def test_the_catalogue_recommends_sampling_where_the_file_does_not(
    hub: HubServer, worker: bool
) -> None:
    metadata = [key for key in tiny_metadata(TinySpec()) if "sampling" not in key.name]
    model = build_gguf(metadata, tiny_tensors(TinySpec()))
    hub.add_repo("LiquidAI/LFM2-350M-GGUF", {"LFM2-350M-Q4_0.gguf": model})
    fetch("lfm2-350m")

    with EdgeLLM("lfm2-350m", context_size=64, worker=worker) as llm:
        sampling = llm.facts.sampling

    assert (sampling.temperature, sampling.min_p, sampling.repetition_penalty) == (0.3, 0.15, 1.05)


def test_the_files_own_recommendation_goes_first(hub: HubServer) -> None:
    hub.add_repo("LiquidAI/LFM2-350M-GGUF", {"LFM2-350M-Q4_0.gguf": content(hub)})
    fetch("lfm2-350m")

    with EdgeLLM("lfm2-350m", context_size=64) as llm:
        assert llm.facts.sampling == SamplingParams(temperature=0.5)
