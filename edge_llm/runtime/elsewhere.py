"""The tiers of a runtime that are somewhere else, as a runtime of their own."""

from __future__ import annotations

from dataclasses import replace

from edge_llm.runtime.async_llm import AsyncEdgeLLM
from edge_llm.runtime.build import tier_configs


def remote_part(llm: AsyncEdgeLLM) -> AsyncEdgeLLM | None:
    """A runtime with the endpoints of `llm` and none of its local models; None without endpoints.

    For requests that the local models are not to see in this form. It loads nothing, has the same
    privacy, rules and budgets, and is closed by whoever asked for it.

    Raises:
        ConfigError: as for `llm` itself, whose configuration is read once more.
    """
    tiers = tuple(tier for tier in tier_configs(llm.config) if not tier.is_local)
    if not tiers:
        return None
    names = {tier.name for tier in tiers}
    rules = tuple(rule for rule in llm.config.escalation.rules if rule["tier"] in names)
    part = AsyncEdgeLLM()
    part.config = replace(
        llm.config,
        tiers=tiers,
        cloud_url=None,
        cloud_model=None,
        cloud_key_env=None,
        escalation=replace(llm.config.escalation, rules=rules),
    )
    return part
