"""What the door says of itself when it is asked: `describe` → `info`."""

from __future__ import annotations

from wyoming.info import (
    Attribution,
    HandleModel,
    HandleProgram,
    Info,
    IntentModel,
    IntentProgram,
)

import edge_llm
from edge_llm.integrations.wyoming.agent import Agent
from edge_llm.integrations.wyoming.asking import is_builtin
from edge_llm.runtime.chat_request import has_tiers

PROGRAM = "edge-llm"
_MAKER = Attribution("edge-llm", "https://github.com/edge-llm/edge-llm")
_DESCRIPTION = "A small language model on this device that knows when it does not know."


def describe(agent: Agent) -> Info:
    """One program, twice: it answers questions, and it turns commands into intents.

    Home Assistant lets an agent control a home if it has an intent program; it reads the first of
    each list, and takes no languages to mean all.
    """
    version = edge_llm.__version__
    languages = _languages(agent)
    names = _model_names(agent)
    controls = agent.asker.source != "none"
    handle = HandleProgram(
        name=PROGRAM,
        attribution=_MAKER,
        installed=True,
        description=_DESCRIPTION,
        version=version,
        models=[HandleModel(name, _MAKER, True, None, version, languages) for name in names],
        supports_handled_streaming=True,
        supports_home_control=controls,
    )
    intent = IntentProgram(
        name=PROGRAM,
        attribution=_MAKER,
        installed=True,
        description=_DESCRIPTION,
        version=version,
        models=[IntentModel(name, _MAKER, True, None, version, languages) for name in names],
    )
    return Info(handle=[handle], intent=[intent] if controls else [])


def _languages(agent: Agent) -> list[str]:
    if agent.settings.languages is not None:
        return list(agent.settings.languages)
    only_builtin = is_builtin(agent.llm) and not has_tiers(agent.llm.config)
    return ["en"] if only_builtin else []


def _model_names(agent: Agent) -> list[str]:
    config = agent.llm.config
    names = [tier.name for tier in config.tiers] or [config.model]
    if config.cloud_url is not None:
        names.append(config.cloud_model or "cloud")
    return names
