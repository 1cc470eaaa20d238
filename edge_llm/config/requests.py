"""What one request sets for itself, put over the defaults."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, cast, get_args

from edge_llm.config.checks import not_one_of, refuse_unknown
from edge_llm.errors import InvalidParameterError
from edge_llm.types import Overflow, SamplingOptions, SamplingParams


def checked_overflow(overflow: str | None, default: Overflow) -> Overflow:
    """A request's own `overflow`, or the configured one.

    Raises:
        InvalidParameterError: there is no such way.
    """
    for known in get_args(Overflow):
        if overflow == known:
            return cast("Overflow", known)
    if overflow is not None:
        raise InvalidParameterError(not_one_of("overflow", Overflow, overflow))
    return default


def merge_sampling(defaults: SamplingParams, options: Mapping[str, Any]) -> SamplingParams:
    """`defaults` with the given options put over them.

    Raises:
        UnknownOptionError: an option that is not in `SamplingOptions`.
        InvalidParameterError: a value outside its range.
    """
    refuse_unknown(options, SamplingOptions.__annotations__, "sampling option")
    given = dict(options)
    if isinstance(given.get("stop"), str):
        given["stop"] = (given["stop"],)
    elif isinstance(given.get("stop"), list):
        given["stop"] = tuple(given["stop"])
    params = replace(defaults, **given)
    if problems := params.problems():
        raise InvalidParameterError("; ".join(problems))
    return params
