"""Rows in parts that are left out in turn."""

from __future__ import annotations

import numpy as np

from edge_llm.confidence.arrays import Floats, Indices

NUM_FOLDS = 5


def make_folds(
    target: Floats, groups: Indices | None, seed: int, num_folds: int = NUM_FOLDS
) -> list[Indices]:
    """Parts of equal size with equally much of the target each; a group is in one part only."""
    rng = np.random.default_rng(seed)
    owner = np.arange(len(target)) if groups is None else np.unique(groups, return_inverse=True)[1]
    size = np.bincount(owner)
    mean = np.bincount(owner, target) / size
    order = np.lexsort((rng.random(len(size)), mean))
    part_of_group = np.empty(len(size), np.int64)
    part_of_group[order] = np.arange(len(size)) % num_folds
    part = part_of_group[owner]
    return [rows for index in range(num_folds) if len(rows := np.flatnonzero(part == index))]
