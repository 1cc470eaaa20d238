"""Numbers in rows: the array types of this room, and checks that they hold what they must."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from edge_llm.errors import CalibrationDataError

Floats: TypeAlias = NDArray[np.float64]
Mask: TypeAlias = NDArray[np.bool_]
Indices: TypeAlias = NDArray[np.int64]


def column(name: str, values: ArrayLike, num_rows: int | None = None) -> Floats:
    """`values` as (n,) float64.

    Raises:
        CalibrationDataError: not numbers, not one column, or not `num_rows` of them.
    """
    try:
        array = np.asarray(values, np.float64)
    except (TypeError, ValueError) as exc:
        raise CalibrationDataError(f"{name}: not numbers: {exc}") from exc
    if array.ndim != 1:
        raise CalibrationDataError(f"{name}: {array.ndim} dimensions instead of one")
    if num_rows is not None and len(array) != num_rows:
        raise CalibrationDataError(f"{name}: {len(array)} values for {num_rows} rows")
    return array


def share_column(
    name: str, values: ArrayLike, num_rows: int | None = None, *, gaps: bool = False
) -> Floats:
    """`values` as (n,) float64 in [0, 1]; with `gaps`, NaN stands for what is not known.

    Raises:
        CalibrationDataError: as `column`, or a value outside.
    """
    array = column(name, values, num_rows)
    known = array[~np.isnan(array)] if gaps else array
    if not bool(np.all((known >= 0.0) & (known <= 1.0))):
        raise CalibrationDataError(f"{name}: values outside [0, 1]")
    return array


def positive_column(name: str, values: ArrayLike, num_rows: int, *, zero: bool = True) -> Floats:
    """`values` as (n,) float64, finite and not negative; without `zero`, above it.

    Raises:
        CalibrationDataError: as `column`, or another value.
    """
    array = column(name, values, num_rows)
    least = array >= 0.0 if zero else array > 0.0
    if not bool(np.all(np.isfinite(array) & least)):
        raise CalibrationDataError(f"{name}: values that are negative, zero or not finite")
    return array
