"""The configuration put together from everywhere it may come from."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any

from edge_llm.config.checks import refuse_unknown
from edge_llm.config.edge import EdgeConfig
from edge_llm.config.environment import read_environment


def load_config(
    options: Mapping[str, Any] | None = None, environ: Mapping[str, str] | None = None
) -> EdgeConfig:
    """The configuration from defaults, then the environment, then `options` that are not None.

    Raises:
        UnknownOptionError: a name that is no field of `EdgeConfig`.
        ConfigError: a value outside its range.
    """
    given = {k: v for k, v in (options or {}).items() if v is not None}
    refuse_unknown(given, [f.name for f in fields(EdgeConfig)], "option")
    from_environment = read_environment(os.environ if environ is None else environ)
    return replace(EdgeConfig(), **{**from_environment, **given})
