import logging
import os
import signal
import time
from pathlib import Path

import pytest

from edge_llm.backends.base import ModelInfo
from edge_llm.backends.llama_cpp import backend as llama_backend
from edge_llm.config import EdgeConfig
from edge_llm.engine.inprocess import create_encoder, recommended_sampling
from edge_llm.engine.remote import RemoteHost
from edge_llm.errors import (
    ChatTemplateError,
    ConfigError,
    InsufficientMemoryError,
    NotGGUFError,
    TruncatedModelError,
)
from edge_llm.prompt.byte_tokenizer import ByteTokenizer
from edge_llm.runtime.llm import EdgeLLM
from edge_llm.runtime.local import load_local_model, read_template
from edge_llm.types import SamplingParams
from tests.support.gguf_files import write_tiny_model

BARE = ModelInfo("bare", "llama")


def test_a_model_without_a_template_gets_chatml_and_a_warning(
    caplog: pytest.LogCaptureFixture,
) -> None:
    encoder = create_encoder(BARE, ByteTokenizer(), None)

    assert "<|im_start|>user" in encoder.encode([{"role": "user", "content": "hi"}]).text
    assert "no chat template" in caplog.text


def test_turns_that_are_plain_text_are_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    template = "{% for m in messages %}[{{ m.role }}] {{ m.content }} {% endfor %}"
    info = ModelInfo("plain", "llama", template)

    create_encoder(info, ByteTokenizer(), None)

    assert "another turn" in caplog.text


def test_the_callers_template_goes_before_the_models_own() -> None:
    info = ModelInfo("own", "llama", "own {{ messages[0].content }}")

    encoder = create_encoder(info, ByteTokenizer(), "mine {{ messages[0].content }}")

    assert encoder.encode([{"role": "user", "content": "hi"}]).text == "mine hi"


def test_a_template_may_be_a_file(tmp_path: Path) -> None:
    (tmp_path / "t.jinja").write_text("{{ messages }}")

    assert read_template(str(tmp_path / "t.jinja")) == "{{ messages }}"
    assert read_template("{{ messages }}") == "{{ messages }}"
    assert read_template(None) is None
    with pytest.raises(ConfigError, match="neither Jinja nor a readable file"):
        read_template(str(tmp_path / "absent.jinja"))


def test_a_template_that_does_not_parse_is_an_error(tmp_path: Path) -> None:
    path = write_tiny_model(tmp_path / "tiny.gguf")

    with pytest.raises(ChatTemplateError, match="does not parse"):
        load_local_model(EdgeConfig(model=str(path), chat_template="{% for %}"))


def test_recommended_sampling_comes_from_the_file() -> None:
    found = {"temperature": 0.6, "top_k": 20, "unheard_of": 1.0}

    assert recommended_sampling(found) == SamplingParams(temperature=0.6, top_k=20)


def test_a_file_that_is_no_model_says_so(tmp_path: Path) -> None:
    (tmp_path / "a.gguf").write_bytes(b"PK\x03\x04" + b"x" * 100)

    with pytest.raises(NotGGUFError):
        load_local_model(EdgeConfig(model=str(tmp_path / "a.gguf")))


def test_a_truncated_download_says_so(tmp_path: Path) -> None:
    path = write_tiny_model(tmp_path / "tiny.gguf")
    path.write_bytes(path.read_bytes()[:-1000])

    with pytest.raises(TruncatedModelError):
        load_local_model(EdgeConfig(model=str(path)))


def test_a_model_that_does_not_fit_is_refused_with_numbers_before_loading(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_tiny_model(tmp_path / "tiny.gguf")
    monkeypatch.setattr(llama_backend, "available_memory_bytes", lambda: 1_000_000)

    with pytest.raises(InsufficientMemoryError, match=r"MiB.* 976\.6 KiB are free"):
        load_local_model(EdgeConfig(model=str(path)))


def test_loading_logs_nothing_unless_asked(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    path = write_tiny_model(tmp_path / "tiny.gguf")
    with caplog.at_level(logging.WARNING):
        load_local_model(EdgeConfig(model=str(path))).close()

    assert capfd.readouterr() == ("", "")
    assert caplog.text == ""


def test_a_configured_system_prompt_is_computed_ahead(tmp_path: Path) -> None:
    path = write_tiny_model(tmp_path / "tiny.gguf", context=512)
    system = "You are the voice of this house. " * 3

    with EdgeLLM(path, system_prompt=system) as llm:
        answer = llm.chat("hello", max_tokens=3)
    with EdgeLLM(path, system_prompt=system) as restarted:
        again = restarted.chat("good night", max_tokens=3)

    assert answer.usage.cached_tokens > len(system)
    assert again.usage.cached_tokens > len(system)


def test_a_worker_that_dies_between_two_questions_is_not_noticed(tmp_path: Path) -> None:
    path = write_tiny_model(tmp_path / "tiny.gguf")

    with EdgeLLM(path, worker=True) as llm:
        before = llm.chat("hello", temperature=0.0, max_tokens=5)
        host = llm._async._model._host  # type: ignore[union-attr]
        assert isinstance(host, RemoteHost)
        os.kill(host.supervisor.pid or 0, signal.SIGKILL)
        after = llm.chat("hello", temperature=0.0, max_tokens=5)

    assert after.text == before.text


@pytest.mark.parametrize("worker", [False, True])
def test_an_idle_model_is_unloaded_and_answers_again(tmp_path: Path, worker: bool) -> None:
    path = write_tiny_model(tmp_path / "tiny.gguf")

    with EdgeLLM(path, worker=worker, keep_alive=0) as llm:
        model = llm._async._model
        assert model is not None
        before = llm.chat("hello", temperature=0.0, max_tokens=5)
        deadline_s = time.monotonic() + 30
        while model._host.is_loaded:
            assert time.monotonic() < deadline_s
            time.sleep(0.05)
        after = llm.chat("hello", temperature=0.0, max_tokens=5)

    assert after.text == before.text


def test_what_is_wrong_with_a_file_is_told_from_a_worker_as_well(tmp_path: Path) -> None:
    (tmp_path / "a.gguf").write_bytes(b"PK\x03\x04" + b"x" * 100)

    with pytest.raises(NotGGUFError):
        load_local_model(EdgeConfig(model=str(tmp_path / "a.gguf"), worker=True))
