"""Whether a model fits, and what is said when it does not."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from edge_llm.backends.llama_cpp.fit import Fit, fit_memory
from edge_llm.config import EdgeConfig
from edge_llm.device.memory import reserve_bytes
from edge_llm.errors import ConfigError, InsufficientMemoryError
from edge_llm.hub.gguf import GGUFFile, read_gguf
from edge_llm.hub.gguf_memory import ContextShape, estimate_memory
from tests.support.gguf_files import write_tiny_model

PLENTY = 10**11


@pytest.fixture
def file(tmp_path: Path) -> GGUFFile:
    """8 KiB of KV cache a token, for up to 20,000 tokens."""
    return read_gguf(
        write_tiny_model(
            tmp_path / "m.gguf", width=128, heads=4, kv_heads=4, layers=16, context=20_000
        )
    )


def fit(file: GGUFFile, free: int = PLENTY, **options: Any) -> Fit:
    return fit_memory(file, EdgeConfig(**options), free)


def needed(file: GGUFFile, shape: ContextShape, **changes: Any) -> int:
    return estimate_memory(file, replace(shape, **changes)).total


def test_the_context_is_what_was_asked_for(file: GGUFFile) -> None:
    assert fit(file).shape.context_size == 4096
    assert fit(file, context_size=1000).shape.context_size == 1000
    assert fit(file, context_size=30_000).shape.context_size == 30_000


def test_the_shape_counts_cached_prefixes_among_the_sequences(file: GGUFFile) -> None:
    shape = fit(file, max_num_seqs=3, prefix_slots=5).shape

    assert (shape.num_seq_ids, shape.max_outputs) == (8, 3)


def test_auto_takes_what_the_model_was_trained_for_where_there_is_room(file: GGUFFile) -> None:
    assert fit(file, context_size="auto").shape.context_size == 19_968


def test_auto_takes_what_fits_and_leaves_a_reserve(file: GGUFFile) -> None:
    free = 200 << 20
    found = fit(file, free, context_size="auto")

    assert 256 <= found.shape.context_size < 19_968
    assert found.shape.context_size % 256 == 0
    room = free - reserve_bytes(free)
    assert found.estimate.total <= room
    assert needed(file, found.shape, context_size=found.shape.context_size + 256) > room


def test_auto_takes_more_with_a_smaller_kv_cache(file: GGUFFile) -> None:
    plain = fit(file, 150 << 20, context_size="auto").shape.context_size
    compact = fit(file, 150 << 20, context_size="auto", kv_cache_type="q8_0").shape.context_size

    assert compact > 1.5 * plain


@pytest.mark.parametrize(
    ("free", "reserve"), [(0, 64 << 20), (1 << 30, 128 << 20), (64 << 30, 1 << 30)]
)
def test_the_reserve_grows_with_the_machine(free: int, reserve: int) -> None:
    assert reserve_bytes(free) == reserve


def refusal(file: GGUFFile, free: int, **options: Any) -> InsufficientMemoryError:
    with pytest.raises(InsufficientMemoryError) as caught:
        fit(file, free, **options)
    return caught.value


def test_a_refusal_says_what_is_needed_and_which_context_would_fit(file: GGUFFile) -> None:
    shape = fit(file, context_size=16_384).shape
    error = refusal(file, needed(file, shape, context_size=2048), context_size=16_384)

    assert "MiB with a context of 16384, and " in error.message
    assert error.hint is not None
    assert "a context of 2048 would fit" in error.hint
    assert "kv_cache_type='q8_0' with a context of" in error.hint


def test_a_refusal_offers_the_smaller_kv_cache_where_that_is_enough(file: GGUFFile) -> None:
    shape = fit(file, context_size=16_384).shape
    free = needed(file, shape, kv_cache_type="q8_0")
    error = refusal(file, free, context_size=16_384)
    assert error.hint is not None
    assert error.hint.endswith("or kv_cache_type='q8_0' would fit")

    # and what it offers does fit
    assert fit(file, free, context_size=16_384, kv_cache_type="q8_0")


def test_a_refusal_asks_for_smaller_weights_where_no_context_fits(file: GGUFFile) -> None:
    error = refusal(file, 1 << 20)

    assert error.hint is not None
    assert "a smaller quantisation" in error.hint
    assert "0 B are left for weights" in error.hint
    assert "would fit" not in error.hint


def test_auto_refuses_too_when_nothing_fits(file: GGUFFile) -> None:
    assert "with a context of 256" in refusal(file, 1 << 20, context_size="auto").message


def test_heads_that_q8_0_cannot_store_are_a_clear_error(tmp_path: Path) -> None:
    small_heads = read_gguf(write_tiny_model(tmp_path / "s.gguf", width=32, heads=4))

    with pytest.raises(ConfigError, match="keys of 8 numbers"):
        fit(small_heads, kv_cache_type="q8_0")
