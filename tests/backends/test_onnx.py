"""The ONNX backend beyond the contract: numbers, batches, memory, errors."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

import edge_llm
from edge_llm.backends import load_backend
from edge_llm.backends.base import Backend, BatchItem, ForwardInterruptedError
from edge_llm.backends.onnx import load as onnx_load
from edge_llm.backends.onnx import native
from edge_llm.backends.onnx.graph import DecoderGraph
from edge_llm.backends.onnx.shared import SharedStore
from edge_llm.config import EdgeConfig
from edge_llm.errors import (
    BackendError,
    ConfigError,
    InsufficientMemoryError,
    ModelNotFoundError,
    UnsupportedModelError,
)
from tests.support.onnx_files import TinyOnnx, random_weights, write_folder, write_json
from tests.support.onnx_reference import reference_logits

TEXT = list(b"the kitchen lights are on")
LAYOUTS = {
    "grouped": TinyOnnx(),
    "grouped, positions": TinyOnnx(position_ids=True),
    "growing": TinyOnnx(grouped=False),
    "growing, positions": TinyOnnx(grouped=False, position_ids=True),
    "merged": TinyOnnx(grouped=False, merged=True),
    "kept logits": TinyOnnx(logits_to_keep=True),
    "half": TinyOnnx(dtype="float16"),
    "growing half": TinyOnnx(grouped=False, dtype="float16"),
}


def load(path: Path, **options: object) -> Backend:
    config = EdgeConfig(**{"context_size": 256, "max_num_seqs": 4, "threads": 1} | options)  # type: ignore[arg-type]
    return load_backend(path, config)


def feed(backend: Backend, seq_id: int, tokens: list[int], outputs: int = 1) -> np.ndarray:
    item = BatchItem(seq_id, backend.length(seq_id), tokens, outputs)
    return backend.forward([item]).copy()


@pytest.mark.parametrize("name", LAYOUTS)
def test_logits_are_those_of_the_architecture(tmp_path: Path, name: str) -> None:
    spec = LAYOUTS[name]
    backend = load(write_folder(tmp_path / "tiny", spec))
    expected = reference_logits(spec, random_weights(spec), TEXT)

    whole = feed(backend, 0, TEXT, len(TEXT))
    feed(backend, 1, TEXT[:9], 0)
    parts = [feed(backend, 1, [token])[0] for token in TEXT[9:]]

    tolerance = 2e-2 if spec.dtype == "float16" else 2e-5
    assert np.abs(whole - expected).max() < tolerance
    assert np.abs(np.array(parts) - expected[9:]).max() < tolerance
    backend.close()


@pytest.fixture
def grouped(tmp_path: Path) -> Iterator[tuple[Backend, SharedStore]]:
    backend = load(write_folder(tmp_path / "tiny"))
    store = backend._store  # type: ignore[attr-defined]
    assert isinstance(store, SharedStore)
    yield backend, store
    backend.close()


def test_rows_move_only_when_the_speakers_change(grouped: tuple[Backend, SharedStore]) -> None:
    backend, store = grouped
    expected = {}
    for seq_id in range(5):
        feed(backend, seq_id, TEXT[: 5 + seq_id], 0)
        expected[seq_id] = backend.export(seq_id)
    backend.free(1)
    backend.free(3)

    def step() -> None:
        backend.forward([BatchItem(i, backend.length(i), [65], 1) for i in (4, 0, 2)])

    step()
    moved = store.rows.num_moved_tokens
    step()

    assert 0 < moved == store.rows.num_moved_tokens
    for seq_id in (0, 2, 4):
        backend.truncate(seq_id, 5 + seq_id)
        assert backend.export(seq_id) == expected[seq_id]


def test_a_new_sequence_settles_beside_those_who_speak(
    grouped: tuple[Backend, SharedStore],
) -> None:
    backend, store = grouped
    for seq_id in (19, 3, 11):
        feed(backend, seq_id, TEXT, 0)
    backend.forward([BatchItem(i, len(TEXT), [65], 1) for i in (3, 11, 19)])
    assert store.rows.num_moved_tokens == 0


def test_an_interrupt_ends_a_run_that_is_under_way(tmp_path: Path) -> None:
    spec = TinyOnnx(layers=12, width=256, heads=4, kv_heads=4, feed_forward=1024, context=512)
    backend = load(write_folder(tmp_path / "slow", spec), context_size=512)
    calls: list[int] = []

    def interrupt() -> bool:
        calls.append(1)
        return len(calls) > 1

    options = backend._graph.run_options()  # type: ignore[attr-defined]
    options.terminate = True
    with pytest.raises(BackendError, match="terminate"):
        backend._store.extend(0, TEXT, 1, options)  # type: ignore[attr-defined]
    assert backend.length(0) == 0

    def repeat() -> None:
        while True:  # until a forward lasts long enough to be asked about
            calls.clear()
            backend.forward([BatchItem(0, 0, TEXT * 18, 1)], interrupt)
            backend.free(0)

    with pytest.raises(ForwardInterruptedError):
        repeat()
    backend.truncate(0, 0)
    assert feed(backend, 0, TEXT).shape == (1, spec.vocab)
    backend.close()


def test_what_the_library_refuses_while_running_is_an_error_and_changes_nothing(
    grouped: tuple[Backend, SharedStore],
) -> None:
    backend, _ = grouped
    feed(backend, 0, TEXT, 0)
    state = backend.export(0)

    with pytest.raises(BackendError, match="onnxruntime failed"):
        feed(backend, 0, [10**6])

    assert backend.export(0) == state
    assert feed(backend, 0, [65]).shape[0] == 1


def test_batches_that_cannot_be_are_refused(grouped: tuple[Backend, SharedStore]) -> None:
    backend, _ = grouped
    for batch in (
        [],
        [BatchItem(0, 0, [65] * 1000, 1)],
        [BatchItem(0, 3, [65], 1)],
        [BatchItem(0, 0, [65], 1), BatchItem(0, 0, [66], 1)],
    ):
        with pytest.raises(BackendError):
            backend.forward(batch)


def test_a_state_of_another_shape_is_refused(tmp_path: Path) -> None:
    small = load(write_folder(tmp_path / "small"))
    large = load(write_folder(tmp_path / "large", layers=3))
    feed(small, 0, TEXT, 0)
    state = small.export(0)

    for other in (state[:-1], state + b"x", b"", state[:10], b"ekv2" + state[4:]):
        with pytest.raises(BackendError):
            small.import_(1, other)
    with pytest.raises(BackendError):
        large.import_(1, state)
    assert (small.length(1), large.length(1)) == (0, 0)
    small.close()
    large.close()


def test_states_are_known_by_weights_types_and_layout(tmp_path: Path) -> None:
    paths = [
        write_folder(tmp_path / "one"),
        write_folder(tmp_path / "same"),
        write_folder(tmp_path / "seed", seed=1),
        write_folder(tmp_path / "half", dtype="float16"),
        write_folder(tmp_path / "outside", external=True),
        write_folder(tmp_path / "other outside", external=True, seed=1),
    ]
    found = []
    for path in paths:
        backend = load(path)
        found.append(backend.info.state_fingerprint)
        backend.close()

    assert found[0] == found[1]
    assert len(set(found)) == 5


def test_metadata_come_from_the_files_beside_the_graph(tmp_path: Path) -> None:
    path = write_folder(tmp_path / "Tiny-Instruct")
    write_json(path.parent / "generation_config.json", {
        "do_sample": True, "temperature": 0.6, "top_k": 20, "top_p": True, "eos_token_id": [263],
    })  # fmt: skip
    backend = load(path.parent)

    assert backend.info.name == "Tiny-Instruct"
    assert backend.info.architecture == "tiny"
    assert dict(backend.info.sampling) == {"temperature": 0.6, "top_k": 20}
    assert backend.info.chat_template is not None
    assert backend.tokenizer.eog_ids >= {263}
    assert backend.capabilities.max_model_len == 256
    backend.close()


def test_the_choice_among_several_precisions_is_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = write_folder(tmp_path / "tiny", storage="int4")
    path.rename(path.with_name("model_q4.onnx"))
    write_folder(tmp_path / "tiny")
    caplog.set_level(logging.INFO)

    backend = load(tmp_path / "tiny")

    assert backend.info.name == "tiny/model_q4"
    assert "model_q4.onnx, not model.onnx" in caplog.text
    backend.close()


def test_a_context_beyond_the_rotary_tables_is_refused(tmp_path: Path) -> None:
    path = write_folder(tmp_path / "tiny", context=64)
    backend = load(path, context_size=None)
    assert backend.capabilities.max_model_len == 64
    backend.close()

    with pytest.raises(ConfigError, match="positions for 64"):
        load(path, context_size=65)


def test_a_model_that_does_not_fit_is_refused_and_prefixes_give_way_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    path = write_folder(tmp_path / "tiny")
    monkeypatch.setattr(onnx_load, "available_memory_bytes", lambda: 98 << 20)
    backend = load(path, max_num_seqs=2)
    assert 2 <= backend.capabilities.num_seq_ids < 18
    assert "cached prefixes" in caplog.text
    backend.close()

    monkeypatch.setattr(onnx_load, "available_memory_bytes", lambda: 90 << 20)
    with pytest.raises(InsufficientMemoryError, match="context_size"):
        load(path, max_num_seqs=2)


def test_a_missing_tokenizer_is_named(tmp_path: Path) -> None:
    path = write_folder(tmp_path / "tiny")
    (path.parent / "tokenizer.json").unlink()

    with pytest.raises(ModelNotFoundError, match=r"tokenizer\.json"):
        load(path)


def test_a_graph_that_cannot_run_is_refused_when_it_is_loaded(tmp_path: Path) -> None:
    path = write_folder(tmp_path / "tiny", width=32)  # heads of 8 numbers, which cannot be rotated

    with pytest.raises(UnsupportedModelError, match="head_size"):
        load(path)


def test_merged_decoders_traced_with_one_token_are_run_one_by_one(tmp_path: Path) -> None:
    spec = TinyOnnx(grouped=False, merged=True, masks_past=False)
    backend = load(write_folder(tmp_path / "tiny", spec))
    expected = reference_logits(spec, random_weights(spec), TEXT)

    feed(backend, 0, TEXT[:9], 0)
    rows = feed(backend, 0, TEXT[9:], 3)

    assert np.abs(rows - expected[-3:]).max() < 2e-5
    backend.close()


def test_long_prompts_go_in_by_pieces_whose_logits_fit_in_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_folder(tmp_path / "tiny")
    backend = load(path)
    whole = feed(backend, 0, TEXT, 12)
    monkeypatch.setattr(DecoderGraph, "max_chunk", 5)

    assert np.allclose(feed(backend, 1, TEXT, 12), whole, atol=1e-5)
    backend.close()


@pytest.mark.parametrize("threads", [1, 2])
def test_any_number_of_threads_gives_the_same(tmp_path: Path, threads: int) -> None:
    spec = TinyOnnx()
    backend = load(write_folder(tmp_path / "tiny", spec), threads=threads)
    expected = reference_logits(spec, random_weights(spec), TEXT)
    assert np.abs(feed(backend, 0, TEXT)[0] - expected[-1]).max() < 2e-5
    backend.close()


def test_long_answers_of_ragged_rows_are_those_of_the_architecture(tmp_path: Path) -> None:
    spec = TinyOnnx(layers=1, context=600)
    backend = load(write_folder(tmp_path / "tiny", spec), context_size=600)
    tokens = np.random.default_rng(0).integers(0, 256, 300).tolist()
    expected = reference_logits(spec, random_weights(spec), tokens)
    feed(backend, 0, tokens[:20], 0)
    feed(backend, 1, tokens[:250], 0)

    def step(count: int) -> None:
        for _ in range(count):
            lengths = [backend.length(seq_id) for seq_id in (0, 1)]
            batch = [BatchItem(i, n, [tokens[n]], 1) for i, n in enumerate(lengths)]
            rows = backend.forward(batch)
            assert np.abs(rows - expected[lengths]).max() < 2e-5

    step(20)
    backend.truncate(1, 30)
    step(20)
    backend.close()


def test_a_folder_is_a_model_to_chat_with(tmp_path: Path) -> None:
    path = write_folder(tmp_path / "Tiny-Instruct")
    with edge_llm.load(path.parent, context_size=200, cache_max_mb=0) as llm:
        answer = llm.chat("hello", max_tokens=8, temperature=0.0)
        again = llm.chat("hello", max_tokens=8, temperature=0.0)

    assert (answer.model, answer.route, answer.text) == ("Tiny-Instruct", "local", again.text)
    assert again.usage.cached_tokens > 0


def test_prefixes_of_an_onnx_model_outlive_a_restart(tmp_path: Path) -> None:
    path = write_folder(tmp_path / "Tiny-Instruct")
    found = []
    for _ in range(2):
        with edge_llm.load(
            path, context_size=250, cache_dir=str(tmp_path / "prefixes"), system_prompt="ab" * 50
        ) as llm:
            found.append(llm.chat("hello", max_tokens=4, temperature=0.0))
            for word in ("one", "two"):
                llm.chat(word, max_tokens=1)

    assert found[0].text == found[1].text
    assert found[1].usage.cached_tokens >= 100


WATCHED = """
import os, sys
from pathlib import Path
from edge_llm.backends import load_backend
from edge_llm.backends.base import BatchItem
from edge_llm.config import EdgeConfig

def sockets():
    links = (os.readlink(f"/proc/self/fd/{n}") for n in os.listdir("/proc/self/fd")
             if os.path.exists(f"/proc/self/fd/{n}"))
    return sorted(link for link in links if link.startswith("socket:"))

seen = []
sys.addaudithook(lambda event, _: seen.append(event) if event.startswith("socket.") else None)
backend = load_backend(Path(sys.argv[1]), EdgeConfig(context_size=64))
backend.forward([BatchItem(0, 0, [65, 66], 1)])
print(seen, sockets())
backend.close()
"""


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="reads Linux's /proc")
def test_onnxruntime_writes_nothing_at_home_and_opens_no_socket(tmp_path: Path) -> None:
    path = write_folder(tmp_path / "tiny")
    home = tmp_path / "home"
    home.mkdir()
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("XDG_", "ORT_", "CI"))}
    done = subprocess.run(
        [sys.executable, "-c", WATCHED, str(path)],
        env=environment | {"HOME": str(home), "TMPDIR": str(tmp_path)},
        capture_output=True, text=True, check=True,
        cwd=Path(__file__).resolve().parents[2],
    )  # fmt: skip

    assert done.stdout.split("\n")[0] == "[] []"
    assert list(home.rglob("*")) == []
    assert done.stderr == ""


@pytest.fixture
def forgotten_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(native, "_library", None)


@pytest.mark.usefixtures("forgotten_library")
def test_a_version_that_crashes_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("onnxruntime.__version__", "1.21.0")
    with pytest.raises(ConfigError, match=r"1\.21\.0"):
        native.load_library()


@pytest.mark.usefixtures("forgotten_library")
def test_a_missing_library_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(ConfigError, match="pip install"):
        native.load_library()


@pytest.mark.parametrize(("load_average", "spins"), [(0.1, True), (1.7, False)])
def test_threads_spin_only_where_nobody_else_wants_the_processors(
    monkeypatch: pytest.MonkeyPatch, load_average: float, spins: bool
) -> None:
    monkeypatch.setattr(os, "getloadavg", lambda: (load_average, 0.0, 0.0))
    options: Callable[..., object] = native._options

    chosen = options(native.load_library(), 2)

    key = "session.intra_op.allow_spinning"
    if spins:
        with pytest.raises(RuntimeError):
            chosen.get_session_config_entry(key)  # type: ignore[attr-defined]
    else:
        assert chosen.get_session_config_entry(key) == "0"  # type: ignore[attr-defined]
