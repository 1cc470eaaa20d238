"""What the two commands have in common on the command line."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge_llm.confidence.guarantees.goals import AccuracyLoss, Budget, Goal, SelectiveError
from edge_llm.config import EdgeConfig, load_config
from edge_llm.errors import ConfigError
from edge_llm.evaluate.replay.asking import Manner

GOALS = ("accuracy-loss", "selective-error")


@dataclass(frozen=True, slots=True)
class DataOptions:
    """Which rows are read, and how."""

    path: str
    recorded: bool = False
    columns: tuple[str, ...] = ()
    limit: int | None = None

    @property
    def file(self) -> Path:
        """The file."""
        return Path(self.path).expanduser()


@dataclass(frozen=True, slots=True)
class RunOptions:
    """Who is asked, how, and what it may cost."""

    model: str | None = None
    config_file: str | None = None
    cloud_url: str | None = None
    cloud_model: str | None = None
    cloud_key_env: str | None = None
    privacy: str | None = None
    judge: str | None = None
    rubric: str | None = None
    max_tokens: int = 512
    temperature: float | None = None
    concurrency: int = 4
    seed: int = 0
    yes: bool = False
    max_cost_usd: float | None = None
    without_price: bool = False
    resume: bool = True
    journal: str | None = None
    save: str | None = None
    task: str = "default"
    early: float = 0.05
    """Share of what could be kept that may be given up before its end."""

    @property
    def manner(self) -> Manner:
        """How questions are asked."""
        return Manner(self.max_tokens, self.temperature, self.seed)

    def config(self) -> EdgeConfig:
        """The configuration that the options mean.

        Raises:
            ConfigError: they cannot be meant.
        """
        given: dict[str, Any] = {
            "model": self.model,
            "config_file": self.config_file,
            "cloud_url": self.cloud_url,
            "cloud_model": self.cloud_model,
            "cloud_key_env": self.cloud_key_env,
            "privacy": None if self.privacy is None else {"label": self.privacy},
        }
        return load_config({name: value for name, value in given.items() if value is not None})


def parse_goal(name: str, epsilon: float, alpha: float, delta: float, budget: str | None) -> Goal:
    """The goal that the options mean.

    Raises:
        ConfigError: there is no such goal, or a budget that is none.
        InvalidParameterError: a level outside of (0, 1).
    """
    limit = None if budget is None else parse_budget(budget)
    if name == "accuracy-loss":
        return AccuracyLoss(epsilon=epsilon, budget=limit)
    if name == "selective-error":
        return SelectiveError(alpha=alpha, delta=delta, budget=limit)
    raise ConfigError(f"--goal must be one of {', '.join(GOALS)}, not {name!r}")


def parse_budget(text: str) -> Budget:
    """A budget from '30%', '0.3', '0.002usd' or '$0.002'.

    Raises:
        ConfigError: something else.
    """
    plain = text.strip().lower()
    is_usd = plain.startswith("$") or plain.endswith("usd")
    number = plain.removeprefix("$").removesuffix("usd").removesuffix("%")
    try:
        value = float(number)
    except ValueError:
        raise ConfigError(
            f"--budget {text!r} is no budget", hint="--budget 30% or --budget 0.002usd"
        ) from None
    if is_usd:
        return Budget(usd_per_request=value)
    return Budget(escalation_rate=value / 100 if plain.endswith("%") else value)
