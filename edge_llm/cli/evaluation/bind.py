"""What a calibration is bound to, and where it is written."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edge_llm.cli.evaluation.options import DataOptions, RunOptions
from edge_llm.cli.evaluation.writable import writable
from edge_llm.confidence.calibration.binding import Binding
from edge_llm.config import EdgeConfig
from edge_llm.errors import ConfigError
from edge_llm.hub.resolve import resolve_model
from edge_llm.runtime.build import local_config, tier_configs
from edge_llm.runtime.calibrations import calibration_path, model_binding
from edge_llm.runtime.local import load_local_model

_HINT = "--output FILE names another"


@dataclass(frozen=True, slots=True)
class Bound:
    """What it holds for."""

    binding: Binding
    path: Path
    note: str | None = None
    """What else there is to say of it."""


def bind(data: DataOptions, options: RunOptions, output: str | None) -> Bound:
    """The model that is configured; recorded outcomes are bound to nothing unless one is named.

    Raises:
        ConfigError: there is no place for it, or it cannot be written there.
        ModelError: the model cannot be found or read.
    """
    path = None if output is None else Path(output).expanduser()
    if data.recorded and options.model is None:
        if path is None:
            raise ConfigError(
                "recorded outcomes do not say which model they are of",
                hint="--model REF, and the runtime finds the calibration; or --output FILE",
            )
        note = "bound to no model: no runtime takes it"
        return Bound(Binding("recorded", "", "", options.task), writable(path, _HINT), note)
    binding, name = _model(options.config(), options.task)
    return Bound(binding, writable(path or calibration_path(name, binding), _HINT))


def _model(config: EdgeConfig, task: str) -> tuple[Binding, str]:
    tier = next((one for one in tier_configs(config) if one.is_local), None)
    if tier is None:
        raise ConfigError("there is no local tier to calibrate", hint="set a model")
    own = local_config(config, tier)
    location = resolve_model(own.model)
    model = load_local_model(own)
    try:
        return model_binding(location, model.facts.template_sha256, task), location.name
    finally:
        model.close()
