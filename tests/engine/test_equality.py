"""However a sequence's state came about, its answer is the one that it gets alone."""

import random
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import pytest

from edge_llm.backends import load_backend
from edge_llm.backends.base import Backend
from edge_llm.backends.fake import FakeBackend, fake_capabilities
from edge_llm.config import EdgeConfig
from edge_llm.hub.resolve import resolve_model
from tests.support.equality import (
    PREFIX_LENGTH,
    TIE,
    WAYS,
    Outcome,
    Setting,
    compare,
    exact_kernels,
    kernel_noise,
    plain,
    workload,
)
from tests.support.gguf_files import write_tiny_model
from tests.support.recurrent_files import RecurrentArch, write_recurrent_model

WIDE, NARROW = 1024, 256
NUM_REQUESTS = 5
EXACT = 1e-3
"""Thirty times what sums of F32 in another order were seen to do."""


def load(path: Path, context: int) -> Backend:
    slots = 4 if context == WIDE else 0
    config = EdgeConfig(context_size=context, max_num_seqs=4, prefix_slots=slots, threads=1)
    return load_backend(path, config)


def fake(context: int, *, can_truncate: bool) -> Backend:
    slots = 4 if context == WIDE else 0
    limits = fake_capabilities(
        max_model_len=context, num_prefix_slots=slots, can_truncate=can_truncate
    )
    return FakeBackend(capabilities=limits)


def check(setting: Setting, way: str, *, tie: float, drift: float) -> None:
    rng = random.Random(7)
    wanted = workload(range(5, 250), rng, NUM_REQUESTS)
    expected = plain(setting, wanted, rng).answers

    outcome = WAYS[way](setting, wanted, rng)

    assert_it_came_about_so(way, outcome)
    for one, other in zip(expected, outcome.answers, strict=True):
        comparison = compare(one, other, tie)
        assert comparison.verdict != "different", comparison
        assert comparison.drift <= drift, comparison


def assert_it_came_about_so(way: str, outcome: Outcome) -> None:
    if way in ("shared", "restored"):
        assert outcome.stats.cached_tokens == NUM_REQUESTS * PREFIX_LENGTH
    if way == "preempted":
        assert outcome.stats.num_preemptions > 0
        assert outcome.stats.recomputed_tokens > 0


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("can_truncate", [True, False])
def test_where_nothing_rounds_every_way_gives_the_plain_answer_bit_for_bit(
    can_truncate: bool, way: str, tmp_path: Path
) -> None:
    wide, narrow = (fake(context, can_truncate=can_truncate) for context in (WIDE, NARROW))

    check(Setting(wide, narrow, tmp_path), way, tie=0.0, drift=0.0)


@pytest.fixture(scope="module", params=["llama", *get_args(RecurrentArch)])
def exact_backends(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Backend, Backend]]:
    path = tmp_path_factory.mktemp("model") / f"{request.param}.gguf"
    if request.param == "llama":
        write_tiny_model(path, letters=True, context=WIDE)
    else:
        write_recurrent_model(path, request.param, context=WIDE)
    with exact_kernels():
        wide, narrow = load(path, WIDE), load(path, NARROW)
    yield wide, narrow
    wide.close()
    narrow.close()


@pytest.mark.parametrize("way", WAYS)
def test_on_llama_cpp_in_f32_every_way_gives_the_plain_answer_and_its_certainty(
    exact_backends: tuple[Backend, Backend], way: str, tmp_path: Path
) -> None:
    check(Setting(*exact_backends, tmp_path), way, tie=EXACT, drift=EXACT)


@pytest.fixture(scope="module")
def builtin() -> Iterator[tuple[Backend, Backend]]:
    path = resolve_model("builtin").path
    wide, narrow = load(path, WIDE), load(path, NARROW)
    yield wide, narrow
    wide.close()
    narrow.close()


@pytest.mark.parametrize("way", WAYS)
def test_the_built_in_model_moves_no_further_than_llama_cpp_alone_moves_it(
    builtin: tuple[Backend, Backend], way: str, tmp_path: Path
) -> None:
    rng = random.Random(0)
    texts = [rng.choices(range(5, 250), k=150) for _ in range(6)]
    noise = max(TIE, 3 * kernel_noise(builtin[0], texts))

    check(Setting(*builtin, tmp_path), way, tie=noise, drift=noise)
