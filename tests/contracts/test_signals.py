"""What every registered signal keeps to; a new one is tested by being registered."""

import json
import math
import tomllib
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import pytest

import edge_llm
from edge_llm.confidence.base import ConfidenceSignal, DraftState
from edge_llm.confidence.features import FEATURE_NAMES, FeatureTracker
from edge_llm.confidence.signals.registry import SIGNALS
from edge_llm.config import ConfidenceConfig
from edge_llm.types import TokenStatistics

signals = pytest.mark.parametrize("signal", SIGNALS.values(), ids=SIGNALS.keys())

SURE, UNSURE = (0.95, 0.02, 0.01, 0.01), (0.3, 0.28, 0.22, 0.2)

GOOD = DraftState(
    5, 10, "stop", is_empty=False, is_valid=True, is_looping=False, num_calls=1, query_prior=0.9,
    answer_prior=0.9, verbalised=0.9, p_true=0.9, sample_agreement=0.9, model_agreement=0.9,
)  # fmt: skip
BAD = DraftState(
    900, 4000, "length", is_empty=True, is_valid=False, is_looping=True, num_calls=0,
    query_prior=0.1, answer_prior=0.1, verbalised=0.1, p_true=0.1, sample_agreement=0.1,
    model_agreement=0.1,
)  # fmt: skip


def token(shares: tuple[float, ...], index: int, *, is_sure: bool) -> TokenStatistics:
    logs = tuple(math.log(share) for share in shares)
    chosen = 0 if is_sure or index % 2 else 3
    return TokenStatistics(
        chosen,
        logs[chosen],
        0.0,
        tuple(range(len(logs))),
        logs,
        shares[0] - shares[1],
        -sum(p * q for p, q in zip(shares, logs, strict=True)),
        chosen,
        0.0,
        (math.log(0.02 if is_sure else 0.9),),
        masked_mass=0.01 if is_sure else 0.7,
        self_certainty=20.0 if is_sure else 1.0,
    )


def draft(*, is_sure: bool, count: int = 40) -> FeatureTracker:
    tracker = FeatureTracker()
    for index in range(count):
        tracker.add([token(SURE if is_sure else UNSURE, index, is_sure=is_sure)], " word")
    return tracker


@signals
def test_its_name_is_its_feature(signal: ConfidenceSignal) -> None:
    assert SIGNALS[signal.name] is signal
    assert FEATURE_NAMES.count(signal.name) == 1


@signals
def test_it_says_nothing_of_nothing(signal: ConfidenceSignal) -> None:
    value = signal.start().value(DraftState())

    assert value is None or signal.name == "num_tokens"


@signals
def test_it_trusts_a_sure_draft_more(signal: ConfidenceSignal) -> None:
    good = draft(is_sure=True).score(signal.name, GOOD)
    bad = draft(is_sure=False).score(signal.name, BAD)

    assert good is not None
    assert bad is not None
    if signal.name == "alternatives_entropy":  # says how many rivals there are, not how strong
        assert good != bad
    else:
        assert 0.0 <= bad < good <= 1.0


@signals
def test_its_threshold_lies_between_the_two(signal: ConfidenceSignal) -> None:
    if signal.default_threshold is not None:
        assert 0.0 < signal.default_threshold < 1.0


@signals
def test_its_score_moves_one_way_with_its_measure(signal: ConfidenceSignal) -> None:
    scores = [signal.to_score(value) for value in (-3.0, -1.0, 0.0, 0.3, 0.7, 1.0, 3.0)]

    inside = scores if signal.name.endswith("logprob") is False else scores[:3]
    assert inside in (sorted(inside), sorted(inside, reverse=True))


@signals
def test_forced_tokens_change_nothing(signal: ConfidenceSignal) -> None:
    plain, forced = draft(is_sure=False), FeatureTracker()
    for index in range(40):
        one = token(UNSURE, index, is_sure=False)
        forced.add([None, one, None] if index else [one, None], " word")

    assert forced.value(signal.name, BAD) == plain.value(signal.name, BAD)


@signals
def test_asking_changes_nothing(signal: ConfidenceSignal) -> None:
    asked, left_alone = draft(is_sure=False, count=10), draft(is_sure=False, count=10)
    for _ in range(3):
        asked.features(BAD)
    for one in rest():
        asked.add([one], " word")
        left_alone.add([one], " word")

    assert asked.value(signal.name, BAD) == left_alone.value(signal.name, BAD)


def rest() -> Iterator[TokenStatistics]:
    return (token(SURE, index, is_sure=True) for index in range(30))


def test_a_vector_can_be_written_down() -> None:
    features = draft(is_sure=True).features(GOOD)

    assert features.shape == (len(FEATURE_NAMES),)
    assert json.loads(json.dumps(features.tolist(), allow_nan=False)) == features.tolist()


def test_the_guide_names_every_signal() -> None:
    guide = (Path(edge_llm.__file__).parent / "confidence" / "README.md").read_text("utf-8")

    assert [name for name in SIGNALS if f"`{name}`" not in guide] == []
    table = tomllib.loads(guide.split("```toml")[1].split("```")[0])
    assert ConfidenceConfig(**{**table["confidence"], "arms": ()}) == ConfidenceConfig()
    assert table["confidence"].keys() <= {field.name for field in fields(ConfidenceConfig)}


FILES = [
    path
    for path in sorted((Path(edge_llm.__file__).parent / "confidence" / "signals").glob("*.py"))
    if "ConfidenceSignal(" in path.read_text("utf-8")
]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_it_says_where_it_comes_from_and_what_it_costs(path: Path) -> None:
    told = path.read_text("utf-8")

    assert "Source:" in told
    assert "Cost:" in told
