"""The doctor on the configuration: what holds, who said so, and what else acts."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import Any

from edge_llm.cli.doctor.finding import Finding, Section
from edge_llm.cli.doctor.redact import is_secret_name
from edge_llm.config import ENV_PREFIX, Explained, Setting, TierConfig

ALSO_ACTS = (
    *("HF_ENDPOINT", "HF_HOME", "HF_HUB_CACHE", "HF_HUB_OFFLINE", "HF_TOKEN", "HF_TOKEN_PATH"),
    *("HF_HUB_DOWNLOAD_TIMEOUT", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "SSL_CERT_FILE"),
    *("OMP_NUM_THREADS", "OMP_WAIT_POLICY", "OMP_PROC_BIND", "GOMP_SPINCOUNT", "GOMP_CPU_AFFINITY"),
    *("ORT_DISABLE_TELEMETRY", "LD_PRELOAD", "MALLOC_ARENA_MAX", "OPENAI_API_KEY"),
    "OPENAI_BASE_URL",
)
"""Variables of others that change what happens here."""

_PRIVATE = ("system_prompt", "chat_template")
"""Settings whose text is the user's own: only their length is shown."""


def examine_settings(explained: Explained, environ: Mapping[str, str] | None = None) -> Section:
    """Every setting with its source, and the variables of others."""
    given = os.environ if environ is None else environ
    settings = explained.settings
    facts: dict[str, Any] = {
        "settings": {
            setting.name: {"value": _shown(setting), "source": setting.source}
            for setting in settings
            if not setting.name.startswith(ENV_PREFIX)
        },
        "environment": {
            name: "set" if is_secret_name(name) else given[name]
            for name in _with_lower_case(ALSO_ACTS)
            if given.get(name)
        },
    }
    return Section("configuration", facts, [*_wrong(settings), *_risky(given)])


def _shown(setting: Setting) -> Any:
    value = setting.value
    if setting.name in _PRIVATE and value:
        return f"{len(value)} characters"
    if isinstance(value, tuple):
        # Tiers may carry headers, which may carry keys.
        return [one.name if isinstance(one, TierConfig) else one for one in value]
    if isinstance(value, dict):
        return {key: "set" if is_secret_name(key) else text for key, text in value.items()}
    return value


def _with_lower_case(names: tuple[str, ...]) -> tuple[str, ...]:
    return (*names, *(name.lower() for name in names if name.endswith("PROXY")))


def _wrong(settings: list[Setting]) -> Iterator[Finding]:
    for setting in settings:
        if setting.problem is not None:
            yield Finding(
                "error",
                "configuration",
                f"{setting.source}: {setting.problem}",
                "every command but this one stops with an error",
                f"unset {setting.source}, or correct it",
            )


def _risky(environ: Mapping[str, str]) -> Iterator[Finding]:
    if (threads := environ.get("OMP_NUM_THREADS")) == "1":
        yield Finding(
            "note",
            "configuration",
            f"OMP_NUM_THREADS={threads} is set",
            "llama.cpp takes its number of threads from edge-llm; other libraries use one",
            "",
        )
    if environ.get("OMP_WAIT_POLICY", "").lower() == "active":
        yield Finding(
            "warning",
            "configuration",
            "OMP_WAIT_POLICY=active is set",
            "while another program takes a core, every token may take many times as long",
            "unset OMP_WAIT_POLICY",
        )
    if environ.get("HF_HUB_OFFLINE", "0").upper() in ("1", "TRUE", "YES", "ON"):
        yield Finding(
            "note",
            "configuration",
            "HF_HUB_OFFLINE is set",
            "no model can be pulled; those that are here run",
            "unset HF_HUB_OFFLINE",
        )
