"""Outcomes whose truth is known, to fit and to certify on."""

from __future__ import annotations

import numpy as np

from edge_llm.confidence.calibration.binding import Binding
from edge_llm.confidence.outcomes import Outcomes

BINDING = Binding("f" * 64, "Q4_K_M", "a" * 64)
NAMES = ("margin", "length", "noise")


def drawn_outcomes(
    num_rows: int, seed: int = 0, *, cloud_accuracy: float = 0.95, local_accuracy: float = 0.75
) -> Outcomes:
    """Drafts of 3 to 59 tokens whose margin says more of the truth the later it is read."""
    rng = np.random.default_rng(seed)
    hardness = rng.normal(size=num_rows)
    odds = np.log(local_accuracy / (1.0 - local_accuracy)) * 1.8
    is_right = rng.random(num_rows) < 1.0 / (1.0 + np.exp(2.5 * hardness - odds))
    tokens = rng.integers(3, 60, num_rows).astype(float)
    features, spent = {}, {}
    for name, count, noise in (("first", 1.0, 1.0), ("16", 16.0, 0.6), ("end", None, 0.3)):
        here = tokens if count is None else np.where(tokens > count, count, np.nan)
        table = rng.normal(size=(num_rows, 3))
        table[:, 0] = noise * table[:, 0] - hardness
        table[:, 1] = here
        table[np.isnan(here)] = np.nan
        features[name], spent[name] = table, here
    return Outcomes(
        feature_names=NAMES,
        features=features,
        spent_tokens=spent,
        local_tokens=tokens,
        local_correct=is_right.astype(float),
        cloud_correct=(rng.random(num_rows) < cloud_accuracy).astype(float),
        cloud_cost_usd=np.full(num_rows, 0.002),
    )


def plain_outcomes(local: object, cloud: object = None, **more: object) -> Outcomes:
    """Outcomes without features, of which only what is right matters."""
    num_rows = len(local)  # type: ignore[arg-type]
    known: dict[str, object] = {
        "feature_names": (),
        "features": {"end": np.zeros((num_rows, 0))},
        "local_correct": local,
        "cloud_correct": cloud,
    }
    return Outcomes(**(known | more))  # type: ignore[arg-type]
