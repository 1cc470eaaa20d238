"""How sure a draft must be, how that is measured, and what is learned while it runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, get_args

from edge_llm.config.checks import is_number, not_one_of, refuse_unknown, require_count
from edge_llm.config.escalation import OnDoubt
from edge_llm.errors import ConfigError

SecondLook: TypeAlias = Literal["off", "p_true", "samples", "model"]
"""How a doubtful answer is looked at once more: the model is asked whether it is true, writes a few
more, or another local tier answers too."""

ANY_CALIBRATION, NO_CALIBRATION, REQUIRED_CALIBRATION = "auto", "off", "required"

_ARM_KEYS = ("name", "share", "threshold", "on_doubt")


@dataclass(frozen=True, slots=True)
class ConfidenceConfig:
    """What drafts are judged by. Without further tiers it is only measured."""

    calibration: str = ANY_CALIBRATION
    """"auto" takes the one that was made for the loaded model, its quantisation and its template,
    if there is one; "required" refuses to load without one; "off" takes none; anything else is the
    path of a file. One for something else is not used, and the reason is told."""
    require_calibration: bool = False
    """Whether a path, too, is refused instead of left out when it is for something else."""
    task: str = "default"
    """Which task's calibration: the same model is sure of other things at other tasks."""
    signal: str = "auto"
    """What decides while nothing is calibrated; "auto" takes the model's own unsure token where it
    has one, and else "low_logprob"."""
    self_certainty: bool = False
    """Measure it too, one more sum over the vocabulary for each token, where nobody asks."""
    second_look: SecondLook = "off"
    """How answers near the threshold are looked at once more before they are given up or kept."""
    second_look_band: float = 0.15
    """How near: this far below and above it."""
    second_look_samples: int = 3
    """Further answers that "samples" writes, at the same time."""
    second_look_tokens: int = 512
    """Tokens that a second look may write in all."""
    second_look_s: float = 10.0
    """Seconds that it may take."""
    shadow_share: float = 0.0
    """Share of kept answers whose request also goes to the cloud, afterwards, where privacy and
    budget allow it: labels that keep a calibration honest."""
    arms: tuple[Mapping[str, Any], ...] = ()
    """Variants to compare on real requests: `{name = "bold", share = 0.5, threshold = 0.4}`, with
    `threshold` or `on_doubt`; what is left of the shares goes to the arm "default"."""

    def __post_init__(self) -> None:
        for name in ("calibration", "task", "signal"):
            value = getattr(self, name)
            if not isinstance(value, str) or not value:
                raise ConfigError(f"confidence.{name} must be text, not {value!r}")
        for name in ("require_calibration", "self_certainty"):
            if not isinstance(getattr(self, name), bool):
                raise ConfigError(f"confidence.{name} must be True or False")
        if self.second_look not in get_args(SecondLook):
            raise ConfigError(not_one_of("confidence.second_look", SecondLook, self.second_look))
        require_count("confidence.second_look_samples", self.second_look_samples, least=1, most=32)
        require_count("confidence.second_look_tokens", self.second_look_tokens, least=1)
        _require_share("second_look_band", self.second_look_band)
        _require_share("shadow_share", self.shadow_share)
        if not is_number(self.second_look_s) or not 0 < self.second_look_s <= 1e6:
            raise ConfigError(f"confidence.second_look_s: {self.second_look_s!r} is no time")
        _check_arms(self.arms)

    @property
    def observes(self) -> bool:
        """Whether answers are written down, for comparisons or for labels."""
        return bool(self.arms) or self.shadow_share > 0.0

    @property
    def is_required(self) -> bool:
        """Whether a model without a calibration of its own is refused."""
        return self.require_calibration or self.calibration == REQUIRED_CALIBRATION


def _require_share(name: str, value: Any) -> None:
    if not is_number(value) or not 0 <= value <= 1:
        raise ConfigError(f"confidence.{name} must be a number from 0 to 1, not {value!r}")


def _check_arms(arms: object) -> None:
    if not isinstance(arms, tuple) or not all(isinstance(arm, Mapping) for arm in arms):
        raise ConfigError("confidence.arms must be a list of tables")
    for arm in arms:
        refuse_unknown(arm, _ARM_KEYS, "key in an arm of confidence.arms")
        if not isinstance(arm.get("name"), str) or not arm["name"]:
            raise ConfigError("an arm of confidence.arms needs a name")
        _require_share(f"arms: share of {arm['name']!r}", arm.get("share"))
        if "on_doubt" in arm and arm["on_doubt"] not in get_args(OnDoubt):
            what = f"confidence.arms: on_doubt of {arm['name']!r}"
            raise ConfigError(not_one_of(what, OnDoubt, arm["on_doubt"]))
        if "threshold" in arm:
            _require_share(f"arms: threshold of {arm['name']!r}", arm["threshold"])
    names = [arm["name"] for arm in arms]
    if len({*names, "default"}) != len(names) + 1:
        raise ConfigError("the arms of confidence.arms need different names, none 'default'")
    if sum(arm["share"] for arm in arms) > 1.0 + 1e-9:
        raise ConfigError("the shares of confidence.arms are more than 1 in all")
