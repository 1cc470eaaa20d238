"""Recordings as the arrays that calibrations are fitted on."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edge_llm.confidence.arrays import Floats, Indices
from edge_llm.confidence.checkpoints import CHECKPOINTS, END, PROMPT, Checkpoint
from edge_llm.confidence.features import FEATURE_NAMES
from edge_llm.confidence.outcomes import Outcomes
from edge_llm.evaluate.recording import Recording


def to_outcomes(
    recordings: Sequence[Recording], more: Sequence[str] = (), only: Sequence[str] | None = None
) -> Outcomes:
    """One row for each recording, in their order; a column for each feature that any of them has.

    `more` names columns that are filled in later; `only`, all of them in their order. Drafts that
    were looked at nowhere have the checkpoint `end` alone, so that what is known of their prompts
    has a place.
    """
    names = feature_names(recordings, more) if only is None else tuple(only)
    places = checkpoints(recordings)
    return Outcomes(
        feature_names=names,
        features={place: _features(recordings, place, names) for place in places},
        local_correct=np.array([one.local_correct for one in recordings], np.float64),
        cloud_correct=_cloud_correct(recordings),
        spent_tokens={
            place: _spent(recordings, place) for place in places if place not in (PROMPT, END)
        },
        local_tokens=np.array([one.local.completion_tokens for one in recordings], np.float64),
        local_cost_usd=np.array([one.local.cost_usd for one in recordings], np.float64),
        cloud_cost_usd=_of_cloud(recordings, "cost_usd"),
        local_latency_s=np.array([one.local.e2e_s or 0.0 for one in recordings], np.float64),
        cloud_latency_s=_of_cloud(recordings, "e2e_s"),
        weights=_weights(recordings),
        groups=groups_of(recordings),
    )


def feature_names(recordings: Sequence[Recording], more: Sequence[str] = ()) -> tuple[str, ...]:
    """Our own features in their order, then others by name."""
    found = set(more)
    for one in recordings:
        for look in one.local.looks.values():
            found.update(look.features)
    ours = [name for name in FEATURE_NAMES if name in found]
    return (*ours, *sorted(found.difference(FEATURE_NAMES)))


def checkpoints(recordings: Sequence[Recording]) -> list[Checkpoint]:
    """Those that any draft was looked at, in the order in which drafts pass them; `end` always."""
    found = {name for one in recordings for name in one.local.looks} | {END}
    return [name for name in CHECKPOINTS if name in found]


def _features(recordings: Sequence[Recording], place: Checkpoint, names: Sequence[str]) -> Floats:
    array = np.full((len(recordings), len(names)), np.nan)
    for row, one in enumerate(recordings):
        look = one.local.looks.get(place)
        if look is not None:
            array[row] = [look.features.get(name, np.nan) for name in names]
    return array


def _spent(recordings: Sequence[Recording], place: Checkpoint) -> Floats:
    looks = [one.local.looks.get(place) for one in recordings]
    return np.array(
        [np.nan if look is None else float(look.num_tokens or 0) for look in looks], np.float64
    )


def _cloud_correct(recordings: Sequence[Recording]) -> Floats | None:
    known = [np.nan if r.cloud_correct is None else r.cloud_correct for r in recordings]
    array = np.array(known, np.float64)
    return None if bool(np.isnan(array).all()) else array


def _of_cloud(recordings: Sequence[Recording], name: str) -> Floats | None:
    """An amount of the cloud; of answers that are not known, the mean of those that are."""
    known = [None if one.cloud is None else getattr(one.cloud, name) for one in recordings]
    values = [float(value) for value in known if value is not None]
    if not values:
        return None
    mean = sum(values) / len(values)
    return np.array([mean if value is None else float(value) for value in known], np.float64)


def _weights(recordings: Sequence[Recording]) -> Floats | None:
    weights = np.array([one.weight for one in recordings], np.float64)
    return None if bool((weights == 1.0).all()) else weights


def groups_of(recordings: Sequence[Recording]) -> Indices | None:
    """(n,) a number for each group; None where each row is its own.

    Rows of one prompt are a group, too: a split between them would know the answers.
    """
    names = [one.group or one.prompt or one.id for one in recordings]
    numbers = {name: number for number, name in enumerate(dict.fromkeys(names))}
    if len(numbers) == len(names):
        return None
    return np.array([numbers[name] for name in names], np.int64)
