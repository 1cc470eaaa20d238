"""From a configuration to tiers that can be asked, and back to nothing."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Sequence
from dataclasses import fields, replace
from typing import Any

from edge_llm.cloud.budget import BUDGET_FILE, open_budget
from edge_llm.cloud.client import CloudClient
from edge_llm.cloud.failover import CloudTier
from edge_llm.cloud.types import Trust
from edge_llm.confidence.signals.self_certainty import SELF_CERTAINTY
from edge_llm.config import EdgeConfig, EscalationConfig, TierConfig, state_folder
from edge_llm.config.checks import refuse_unknown
from edge_llm.config.confidence import NO_CALIBRATION
from edge_llm.config.edge import SECTIONS, TIER_OPTIONS
from edge_llm.config.tiers import LOCAL_TIER, cloud_tier
from edge_llm.errors import ConfigError
from edge_llm.privacy import create_redactor
from edge_llm.routing.base import RoutingPolicy
from edge_llm.routing.budget import BudgetPolicy
from edge_llm.routing.capability import CapabilityPolicy
from edge_llm.routing.chain import RoutingChain
from edge_llm.routing.context_length import ContextLengthPolicy
from edge_llm.routing.deadline import DeadlinePolicy
from edge_llm.routing.health import HealthPolicy
from edge_llm.routing.model_router import ModelRouterPolicy
from edge_llm.routing.offline import OfflinePolicy
from edge_llm.routing.privacy import PrivacyPolicy
from edge_llm.routing.task import TaskPolicy, TaskRule
from edge_llm.runtime.adapting import Adapting
from edge_llm.runtime.assess import check_signal
from edge_llm.runtime.calibrations import (
    NOT_CALIBRATED,
    FoundCalibration,
    find_calibration,
    reads,
)
from edge_llm.runtime.endpoints import create_endpoint
from edge_llm.runtime.hold import parse_hold
from edge_llm.runtime.local import LocalModel
from edge_llm.runtime.outgoing import Door
from edge_llm.runtime.tier_set import TierSet
from edge_llm.runtime.tiers import LocalTier, RemoteTier, Tier

LoadModel = Callable[[EdgeConfig], LocalModel]


def tier_configs(config: EdgeConfig) -> tuple[TierConfig, ...]:
    """The tiers that the configuration means, in order; one local model where it names none.

    Raises:
        ConfigError: two have one name, or a rule names one that is not there.
    """
    tiers = config.tiers or (TierConfig(LOCAL_TIER, model=config.model),)
    if config.cloud_url is not None and config.cloud_model is not None:
        tiers = (*tiers, cloud_tier(config.cloud_url, config.cloud_model, config.cloud_key_env))
    names = [tier.name for tier in tiers]
    if len(set(names)) < len(names):
        raise ConfigError(f"two tiers have one name: {', '.join(names)}")
    for rule in config.escalation.rules:
        if rule["tier"] not in names:
            raise ConfigError(f"a rule names tier {rule['tier']!r}, and there are {names}")
    return tiers


def check_tiers(config: EdgeConfig) -> None:
    """Refuse what can be refused before anything is loaded; opens nothing.

    Raises:
        ConfigError: a tier, an endpoint, a rule or a privacy rule cannot be used.
    """
    for tier in tier_configs(config):
        if tier.is_local:
            local_config(config, tier)
        else:
            _cloud(config, tier)
    create_chain(config)
    parse_hold(config.escalation.hold)
    check_signal(config.confidence.signal)


def local_config(config: EdgeConfig, tier: TierConfig) -> EdgeConfig:
    """How the model of a local tier is run.

    Raises:
        ConfigError: an option of the tier is unknown or has a value outside its range.
    """
    none = {"tiers": (), "cloud_url": None, "cloud_model": None, "cloud_key_env": None}
    own = [f.name for f in fields(config) if f.name not in (*SECTIONS, *TIER_OPTIONS, "model")]
    refuse_unknown(tier.options, own, f"option of tier {tier.name!r}")
    model = config.model if tier.model is None else tier.model
    return replace(config, **{**none, "model": model, **tier.options})


def open_tiers(config: EdgeConfig, load_model: LoadModel) -> TierSet:
    """Load the local models and make ready to ask the others; blocks.

    Raises:
        ConfigError: something of it cannot be used.
        ModelError: a model cannot be found, read or run.
    """
    check_tiers(config)
    tiers: list[Tier] = []
    try:
        for one in tier_configs(config):
            tiers.append(_open_tier(config, one, load_model))
        return _tier_set(config, tiers)
    except BaseException:
        for tier in tiers:
            if isinstance(tier, LocalTier):
                tier.model.close()
        raise


def _tier_set(config: EdgeConfig, tiers: Sequence[Tier]) -> TierSet:
    if len(tiers) == 1 and isinstance(tiers[0], LocalTier):
        # Nothing to choose, nothing that could leave.
        return TierSet(tuple(tiers), confidence=config.confidence)
    return TierSet(
        tuple(tiers),
        create_chain(config),
        config.escalation,
        config.confidence,
        _door(config, tiers),
    )


def _open_tier(config: EdgeConfig, tier: TierConfig, load_model: LoadModel) -> Tier:
    languages = None if tier.languages is None else frozenset(tier.languages)
    if tier.is_local:
        own = local_config(config, tier)
        model = load_model(own)
        try:
            found = _calibration(own, model)
            wants = config.confidence.self_certainty or reads(found, SELF_CERTAINTY.name)
            learned = _adapting(config, found)
            return LocalTier(tier.name, model, languages, found, learned, wants)
        except BaseException:
            model.close()
            raise
    return RemoteTier(tier.name, _cloud(config, tier), languages)


def _calibration(config: EdgeConfig, model: LocalModel) -> FoundCalibration:
    """What holds for a loaded model.

    Raises:
        CalibrationError: none does, and one is required.
    """
    if config.confidence.calibration == NO_CALIBRATION or model.location is None:
        return NOT_CALIBRATED
    return find_calibration(config.confidence, model.location, model.facts.template_sha256)


def _adapting(config: EdgeConfig, found: FoundCalibration) -> Adapting | None:
    if found.calibration is None:
        return None
    observes = config.confidence.observes
    name = found.calibration.binding.task if found.path is None else found.path.stem
    folder = state_folder(config) if observes else None
    return Adapting(found.calibration, name, folder, shadow_share=config.confidence.shadow_share)


def _cloud(config: EdgeConfig, tier: TierConfig) -> CloudTier:
    trust: Trust = "lan" if config.privacy.lan_is_local else "device"
    clients = [CloudClient(create_endpoint(one), local_trust=trust) for one in tier.endpoints]
    return CloudTier(clients, order=tier.order)


def _door(config: EdgeConfig, tiers: Sequence[Tier]) -> Door | None:
    if all(isinstance(tier, LocalTier) for tier in tiers):
        return None
    budget = None
    if config.budget.is_limited:
        budget = open_budget(state_folder(config) / BUDGET_FILE, config.budget)
    # Its rules take a while to read, and who labels everything `allow` needs none of them.
    redactor = functools.cache(lambda: create_redactor(config.privacy))
    return Door(redactor, budget, config.privacy.lan_is_local)


def create_chain(config: EdgeConfig) -> RoutingChain:
    """The configured policies in their configured order.

    Raises:
        ConfigError: the pattern of a rule does not parse.
    """
    return RoutingChain(tuple(_policy(name, config) for name in config.escalation.policies))


def _policy(name: str, config: EdgeConfig) -> RoutingPolicy:
    settings = config.escalation
    makers: dict[str, Callable[[], RoutingPolicy]] = {
        "privacy": lambda: PrivacyPolicy(config.privacy.lan_is_local),
        "capability": CapabilityPolicy,
        "context_length": ContextLengthPolicy,
        "task": lambda: TaskPolicy(tuple(_rule(dict(rule)) for rule in settings.rules)),
        "health": lambda: _health(settings),
        "offline": OfflinePolicy,
        "budget": BudgetPolicy,
        "deadline": DeadlinePolicy,
        "model_router": lambda: ModelRouterPolicy(settings.router_threshold),
    }
    return makers[name]()


def _health(settings: EscalationConfig) -> HealthPolicy:
    return HealthPolicy(
        settings.min_available_memory_mb << 20 or None,
        settings.max_memory_pressure if settings.max_memory_pressure < 1 else None,
        settings.max_temperature_c,
        settings.spare_when_throttled,
    )


def _rule(rule: dict[str, Any]) -> TaskRule:
    pattern = rule.get("pattern")
    try:
        compiled = None if pattern is None else re.compile(pattern)
    except re.error as exc:
        raise ConfigError(f"the pattern {pattern!r} of a rule does not parse: {exc}") from exc
    return TaskRule(rule["tier"], rule.get("tag"), compiled)
