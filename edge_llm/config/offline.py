"""The switch that forbids every connection to another machine."""

from __future__ import annotations

import os
from collections.abc import Mapping

OFFLINE_VARIABLE = "EDGE_LLM_OFFLINE"


def is_offline(environ: Mapping[str, str] | None = None) -> bool:
    """Whether only this machine may be asked; what does not clearly say no says yes."""
    value = (os.environ if environ is None else environ).get(OFFLINE_VARIABLE, "")
    return value.strip().lower() not in ("", "0", "false", "no", "off")
