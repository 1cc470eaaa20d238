"""What every backend must do, whatever it runs on."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from edge_llm.backends import load_backend
from edge_llm.backends.base import Backend, BatchItem, ForwardInterruptedError, KVCacheFullError
from edge_llm.backends.fake import FakeBackend, fake_capabilities
from edge_llm.config import EdgeConfig
from edge_llm.errors import BackendError
from tests.support.gguf_files import write_tiny_model
from tests.support.onnx_files import write_folder

NUM_CELLS = 256


def make_fake(folder: Path) -> Backend:
    return FakeBackend(capabilities=fake_capabilities(max_model_len=NUM_CELLS, max_num_seqs=3))


def make_llama_cpp(folder: Path) -> Backend:
    path = write_tiny_model(folder / "tiny.gguf", context=NUM_CELLS)
    return load_backend(path, EdgeConfig(context_size=NUM_CELLS, max_num_seqs=3, threads=1))


def make_copying_fake(folder: Path) -> Backend:
    limits = fake_capabilities(max_model_len=NUM_CELLS, max_num_seqs=3, can_share_prefix=False)
    return FakeBackend(capabilities=limits)


def onnx_maker(**layout: object) -> Callable[[Path], Backend]:
    def make(folder: Path) -> Backend:
        path = write_folder(folder / "tiny", context=NUM_CELLS, **layout)  # type: ignore[arg-type]
        return load_backend(path, EdgeConfig(context_size=NUM_CELLS, max_num_seqs=3, threads=1))

    return make


BACKENDS = {
    "fake": make_fake,
    "fake-copying": make_copying_fake,
    "llama_cpp": make_llama_cpp,
    "onnx-grouped": onnx_maker(),
    "onnx-grouped-positions": onnx_maker(position_ids=True),
    "onnx-grouped-half": onnx_maker(dtype="float16"),
    "onnx-grouped-int4": onnx_maker(storage="int4"),
    "onnx-grouped-kept-logits": onnx_maker(logits_to_keep=True, external=True),
    "onnx-growing": onnx_maker(grouped=False),
    "onnx-growing-positions": onnx_maker(grouped=False, position_ids=True),
    "onnx-growing-half": onnx_maker(grouped=False, dtype="float16"),
    "onnx-merged": onnx_maker(grouped=False, merged=True),
}


@pytest.fixture(params=BACKENDS)
def backend(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Backend]:
    make = BACKENDS[request.param]
    made = make(tmp_path)
    yield made
    made.close()


PROMPT = list(b"the kitchen lights are on")


def run(
    backend: Backend, seq_id: int, token_ids: Sequence[int], num_outputs: int = 1
) -> NDArray[np.float32]:
    """Feed tokens after what the sequence holds; returns a copy of the logits."""
    item = BatchItem(seq_id, backend.length(seq_id), token_ids, num_outputs)
    return backend.forward([item]).copy()


def close_enough(one: NDArray[np.float32], other: NDArray[np.float32]) -> bool:
    # Kernels sum in another order when rows are batched: llama.cpp differs by up to 2.4e-3.
    return bool(np.allclose(one, other, atol=5e-3))


def test_logits_have_one_row_for_each_output_asked_for(backend: Backend) -> None:
    vocab_size = backend.tokenizer.vocab_size

    assert run(backend, 0, PROMPT, 3).shape == (3, vocab_size)
    assert run(backend, 0, PROMPT, 0).shape == (0, vocab_size)
    assert run(backend, 0, PROMPT, 1).shape == (1, vocab_size)
    assert np.isfinite(run(backend, 0, PROMPT)).all()


def test_a_prompt_in_chunks_gives_the_logits_of_the_whole(backend: Backend) -> None:
    whole = run(backend, 0, PROMPT)
    run(backend, 1, PROMPT[:7], 0)
    run(backend, 1, PROMPT[7:12], 0)

    assert close_enough(run(backend, 1, PROMPT[12:]), whole)


def test_rows_of_a_mixed_batch_come_in_batch_order_and_equal_solo_runs(backend: Backend) -> None:
    alone = [run(backend, 0, PROMPT), run(backend, 1, PROMPT[:9])]
    backend.free(0)
    backend.free(1)
    run(backend, 1, PROMPT[:8], 0)

    rows = backend.forward([BatchItem(1, 8, PROMPT[8:9], 1), BatchItem(0, 0, PROMPT, 1)])

    assert close_enough(rows[0], alone[1])
    assert close_enough(rows[1], alone[0])


def test_the_caller_may_write_to_the_logits(backend: Backend) -> None:
    rows = backend.forward([BatchItem(0, 0, PROMPT, 1)])

    rows[0, 0] = 1e9

    assert rows.argmax() == 0


def test_length_counts_the_tokens_held(backend: Backend) -> None:
    assert backend.length(2) == 0
    run(backend, 2, PROMPT)
    assert backend.length(2) == len(PROMPT)
    backend.free(2)
    assert backend.length(2) == 0
    backend.free(2)


def test_a_fork_continues_like_its_source_and_leaves_it_alone(backend: Backend) -> None:
    run(backend, 0, PROMPT)
    backend.fork(0, 1)

    forked = run(backend, 1, list(b"!"))

    assert backend.length(0) == len(PROMPT)
    assert close_enough(forked, run(backend, 0, list(b"!")))


def test_after_truncate_a_sequence_continues_from_there(backend: Backend) -> None:
    expected = run(backend, 0, PROMPT[:5])
    run(backend, 1, PROMPT, 0)

    assert backend.truncate(1, 4)
    assert backend.length(1) == 4
    assert close_enough(run(backend, 1, PROMPT[4:5]), expected)
    assert backend.truncate(1, 99)
    assert backend.length(1) == 5


def test_truncating_a_fork_leaves_its_source_whole(backend: Backend) -> None:
    run(backend, 0, PROMPT)
    backend.fork(0, 1)

    assert backend.truncate(1, 3)

    assert (backend.length(0), backend.length(1)) == (len(PROMPT), 3)


def test_an_exported_sequence_continues_after_import(backend: Backend) -> None:
    run(backend, 0, PROMPT, 0)
    state = backend.export(0)
    expected = run(backend, 0, list(b"!"))

    backend.import_(2, state)

    assert backend.length(2) == len(PROMPT)
    assert close_enough(run(backend, 2, list(b"!")), expected)


@pytest.mark.parametrize("state", [b"", b"no state"])
def test_a_state_that_is_none_is_refused_and_leaves_nothing(backend: Backend, state: bytes) -> None:
    with pytest.raises(BackendError):
        backend.import_(1, state)

    assert backend.length(1) == 0


@pytest.mark.parametrize("seq_id", [-1, 99, 256, 10_000])
def test_sequence_ids_out_of_range_are_refused_before_native_code(
    backend: Backend, seq_id: int
) -> None:
    for call in (backend.free, backend.length, backend.export):
        with pytest.raises(ValueError, match="sequence id"):
            call(seq_id)
    with pytest.raises(ValueError, match="sequence id"):
        backend.truncate(seq_id, 1)
    for pair in ((0, seq_id), (seq_id, 0)):
        with pytest.raises(ValueError, match="sequence id"):
            backend.fork(*pair)
    with pytest.raises((ValueError, BackendError)):
        backend.import_(seq_id, b"no state")
    with pytest.raises((ValueError, BackendError)):
        backend.forward([BatchItem(seq_id, 0, PROMPT, 1)])


@pytest.mark.parametrize("num_outputs", [-1, 3, 100_000])
def test_outputs_that_no_token_gives_are_refused(backend: Backend, num_outputs: int) -> None:
    with pytest.raises(ValueError, match="outputs"):
        backend.forward([BatchItem(0, 0, PROMPT[:2], num_outputs)])

    assert backend.length(0) == 0


def test_a_batch_that_is_too_large_or_empty_is_refused(backend: Backend) -> None:
    limit = backend.capabilities.max_num_batched_tokens

    for token_ids in ([65] * (limit + 1), []):
        with pytest.raises((ValueError, BackendError)):
            backend.forward([BatchItem(0, 0, token_ids, 0)])

    assert backend.length(0) == 0
    assert run(backend, 0, PROMPT).shape[0] == 1


@pytest.mark.parametrize("position", [-5, 3, 20, 1 << 31])
def test_a_gap_between_what_is_held_and_what_comes_is_refused(
    backend: Backend, position: int
) -> None:
    run(backend, 0, PROMPT[:5], 0)

    with pytest.raises((ValueError, OverflowError, BackendError)):
        backend.forward([BatchItem(0, position, PROMPT[5:], 1)])

    assert backend.length(0) == 5


def test_a_full_cache_changes_nothing_and_goes_on_after_a_free(backend: Backend) -> None:
    limits = backend.capabilities
    # Where cells are shared one sequence can use up the room of another, else only its own.
    other = 0 if limits.num_kv_cells > NUM_CELLS else 1
    while (missing := NUM_CELLS - 20 - backend.length(0)) > 0:
        run(backend, 0, [65] * min(limits.max_num_batched_tokens, missing), 0)
    held = [backend.length(0), backend.length(other)]

    with pytest.raises(KVCacheFullError):
        run(backend, other, [66] * 21)

    assert [backend.length(0), backend.length(other)] == held
    backend.free(0)
    assert run(backend, other, [66] * 21).shape[0] == 1


def test_a_fork_may_take_the_first_tokens_alone(backend: Backend) -> None:
    expected = run(backend, 2, PROMPT[:6])
    run(backend, 0, PROMPT)

    backend.fork(0, 1, 5)
    backend.truncate(1, 5)

    assert backend.length(1) == 5
    assert close_enough(run(backend, 1, PROMPT[5:6]), expected)


def test_sequences_speak_together_whatever_their_ids_and_lengths(backend: Backend) -> None:
    ids = [5, 0, 3]
    prompts = {5: PROMPT, 0: PROMPT[:3], 3: PROMPT[:11]}
    alone = {}
    for seq_id, prompt in prompts.items():
        alone[seq_id] = [run(backend, 1, prompt), run(backend, 1, [66]), run(backend, 1, [67])]
        backend.free(1)
        run(backend, seq_id, prompt, 0)

    for step, token in ((1, 66), (2, 67)):
        batch = [BatchItem(i, backend.length(i), [token], 1) for i in ids]
        rows = backend.forward(batch)
        for row, seq_id in zip(rows, ids, strict=True):
            assert close_enough(row[None], alone[seq_id][step])
        ids.reverse()


def test_an_interrupted_forward_leaves_what_can_be_rolled_back(backend: Backend) -> None:
    run(backend, 0, PROMPT[:5], 0)
    expected = run(backend, 1, PROMPT)

    with pytest.raises(ForwardInterruptedError):
        backend.forward([BatchItem(0, 5, PROMPT[5:], 1)], lambda: True)
    assert backend.truncate(0, 5)

    rows = backend.forward([BatchItem(0, 5, PROMPT[5:], 1)], lambda: False)
    assert close_enough(rows, expected)
    assert close_enough(run(backend, 0, list(b"!")), run(backend, 1, list(b"!")))


def test_a_second_close_does_nothing(backend: Backend) -> None:
    backend.close()
    backend.close()
