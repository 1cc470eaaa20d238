"""What can be set, where it may come from, and what is refused.

Defaults are overridden by `EDGE_LLM_*` environment variables, these by arguments. An unknown name
is an error in every one of them.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, TypeAlias, TypedDict, cast, get_args

from edge_llm.errors import ConfigError, InvalidParameterError, UnknownOptionError, did_you_mean
from edge_llm.types import Overflow, SamplingOptions, SamplingParams

ENV_PREFIX = "EDGE_LLM_"
BUILTIN_MODEL = "builtin"

ContextSize: TypeAlias = int | Literal["auto"]
"""A number of tokens, or as many as memory allows."""

KVCacheType: TypeAlias = Literal["f16", "q8_0"]
"""How numbers are stored in the KV cache: 16 bits each, or 8.5."""

Device: TypeAlias = Literal["auto", "cpu", "npu", "gpu"]
"""What computes; "auto" takes an NPU or GPU that can run all of an ONNX model, else the CPU."""

OTHER_ENVIRONMENT = frozenset(
    {"EDGE_LLM_OFFLINE", "EDGE_LLM_PEERS", "EDGE_LLM_PYTHON", "EDGE_LLM_TEST_MODEL"}
)
"""Variables with our prefix that are no options: of the cloud door, of scripts and of tests."""


class LoadOptions(TypedDict, total=False):
    """The keyword options of `load`, `EdgeLLM` and `AsyncEdgeLLM`; see `EdgeConfig`."""

    context_size: ContextSize | None
    kv_cache_type: KVCacheType
    max_num_seqs: int
    prefix_slots: int
    max_decode_slowdown: float
    threads: int | None
    worker: bool
    keep_alive: float | None
    prefill_threads: int | None
    reserve_cores: int
    device: Device
    provider: str | None
    provider_options: dict[str, str] | None
    cpu_fallback: bool
    system_prompt: str | None
    chat_template: str | None
    overflow: Overflow
    cache_dir: str | None
    cache_max_mb: int
    cache_daily_write_mb: int


@dataclass(frozen=True, slots=True)
class EdgeConfig:
    """One local model and how to run it."""

    model: str = BUILTIN_MODEL
    """`builtin`, or the path of a GGUF file, an ONNX file, or a folder with an ONNX model."""
    context_size: ContextSize | None = None
    """Tokens of prompt and answer together; None takes the model's own, at most 4096; "auto" takes
    what fits in free memory, up to the model's own."""
    kv_cache_type: KVCacheType = "f16"
    """How the KV cache is stored; "q8_0" takes half the memory and a little precision."""
    max_num_seqs: int = 4
    """How many conversations are answered at the same time."""
    prefix_slots: int = 16
    """How many finished conversations stay in the prefix cache, room permitting; 0 is off."""
    max_decode_slowdown: float = 3.0
    """While a new prompt is computed, a token of those already speaking may take so many times as
    long as without it; larger values start the new answer sooner."""
    threads: int | None = None
    """Compute threads; None measures once which number is fastest here, for writing tokens and for
    reading prompts, and remembers it. While others take cores, fewer run."""
    prefill_threads: int | None = None
    """Compute threads for reading prompts; None takes `threads`, or else what was measured."""
    reserve_cores: int = 0
    """Cores that are left to others, where `threads` is not set."""
    worker: bool = False
    """Run the engine in a process of its own, which may die without taking this one along."""
    keep_alive: float | None = None
    """Unload the model after so many seconds without a request, at least 1, and load it again for
    the next one; None keeps it."""
    device: Device = "auto"
    """What an ONNX model runs on; "auto" takes an NPU or GPU that can run all of it, else the
    CPU. GGUF models run on the CPU."""
    provider: str | None = None
    """The execution provider of an ONNX model, such as "qnn" or "openvino"; None takes one that
    has the device."""
    provider_options: dict[str, str] | None = None
    """Options of that provider, under its own names."""
    cpu_fallback: bool = False
    """Whether the CPU may run what a chosen device or provider cannot; otherwise such a model is
    refused."""
    system_prompt: str | None = None
    """Put before conversations that bring no system message of their own."""
    chat_template: str | None = None
    """A Jinja chat template, or the path of one, in place of the model's own."""
    overflow: Overflow = "error"
    cache_dir: str | None = None
    """Where computed prefixes are kept across restarts; None takes the user's cache folder."""
    cache_max_mb: int = 512
    """Megabytes of prefixes kept on disk; 0 keeps none."""
    cache_daily_write_mb: int = 256
    """Megabytes of prefixes written to disk in a day, because SD cards wear; 0 writes none."""

    def __post_init__(self) -> None:
        if not self.model:
            raise ConfigError(
                "model is empty", hint="'builtin', or the path of a GGUF or ONNX model"
            )
        _check_context_size(self.context_size)
        if self.kv_cache_type not in get_args(KVCacheType):
            raise ConfigError(_not_one_of("kv_cache_type", KVCacheType, self.kv_cache_type))
        _require_count("max_num_seqs", self.max_num_seqs, least=1, most=56)
        _require_count("prefix_slots", self.prefix_slots, least=0, most=200)
        slowdown = self.max_decode_slowdown
        if not isinstance(slowdown, int | float) or not 1.0 < slowdown <= 1000.0:
            raise ConfigError(f"max_decode_slowdown must be above 1, up to 1000, not {slowdown!r}")
        _require_count("threads", self.threads, least=1, most=512, optional=True)
        if not isinstance(self.worker, bool):
            raise ConfigError(f"worker must be True or False, not {self.worker!r}")
        alive = self.keep_alive
        if alive is not None and not (_is_number(alive) and 0 <= alive <= 1e9):
            raise ConfigError(f"keep_alive must be None or seconds, 0 or more, not {alive!r}")
        _require_count("prefill_threads", self.prefill_threads, least=1, most=512, optional=True)
        _require_count("reserve_cores", self.reserve_cores, least=0, most=511)
        _require_count("cache_max_mb", self.cache_max_mb, least=0)
        _require_count("cache_daily_write_mb", self.cache_daily_write_mb, least=0)
        _check_device(self)
        if self.overflow not in get_args(Overflow):
            raise ConfigError(_not_one_of("overflow", Overflow, self.overflow))


def load_config(
    options: Mapping[str, Any] | None = None, environ: Mapping[str, str] | None = None
) -> EdgeConfig:
    """The configuration from defaults, then the environment, then `options` that are not None.

    Raises:
        UnknownOptionError: a name that is no field of `EdgeConfig`.
        ConfigError: a value outside its range.
    """
    given = {k: v for k, v in (options or {}).items() if v is not None}
    _refuse_unknown(given, [f.name for f in fields(EdgeConfig)], "option")
    from_environment = _read_environment(os.environ if environ is None else environ)
    return replace(EdgeConfig(), **{**from_environment, **given})


def cache_folder(config: EdgeConfig) -> Path:
    """The folder of prefixes that the configuration means; it need not exist.

    What else is remembered across restarts lies in it under names that snapshots never have.
    """
    if config.cache_dir is not None:
        return Path(config.cache_dir).expanduser()
    from platformdirs import user_cache_path

    return user_cache_path("edge-llm", appauthor=False) / "prefixes"


def checked_overflow(overflow: str | None, default: Overflow) -> Overflow:
    """A request's own `overflow`, or the configured one.

    Raises:
        InvalidParameterError: there is no such way.
    """
    for known in get_args(Overflow):
        if overflow == known:
            return cast("Overflow", known)
    if overflow is not None:
        raise InvalidParameterError(_not_one_of("overflow", Overflow, overflow))
    return default


def merge_sampling(defaults: SamplingParams, options: Mapping[str, Any]) -> SamplingParams:
    """`defaults` with the given options put over them.

    Raises:
        UnknownOptionError: an option that is not in `SamplingOptions`.
        InvalidParameterError: a value outside its range.
    """
    _refuse_unknown(options, SamplingOptions.__annotations__, "sampling option")
    given = dict(options)
    if isinstance(given.get("stop"), str):
        given["stop"] = (given["stop"],)
    elif isinstance(given.get("stop"), list):
        given["stop"] = tuple(given["stop"])
    params = replace(defaults, **given)
    if problems := params.problems():
        raise InvalidParameterError("; ".join(problems))
    return params


def _not_one_of(name: str, choices: object, value: object) -> str:
    allowed = " or ".join(repr(choice) for choice in get_args(choices))
    return f"{name} must be {allowed}, not {value!r}"


def _check_device(config: EdgeConfig) -> None:
    if config.device not in get_args(Device):
        raise ConfigError(_not_one_of("device", Device, config.device))
    if not isinstance(config.cpu_fallback, bool):
        raise ConfigError(f"cpu_fallback must be True or False, not {config.cpu_fallback!r}")
    options = config.provider_options
    if options is None:
        return
    if not isinstance(options, dict) or not all(
        isinstance(text, str) for item in options.items() for text in item
    ):
        raise ConfigError(f"provider_options must map names to texts, not {options!r}")
    if config.provider is None and config.device == "auto":
        raise ConfigError("provider_options without a provider", hint="set provider or device too")


def _check_context_size(value: object) -> None:
    if isinstance(value, str) and value != "auto":
        raise ConfigError(f"context_size must be a whole number or 'auto', not {value!r}")
    if value != "auto":
        _require_count("context_size", value, least=16, optional=True)


def _refuse_unknown(given: Mapping[str, Any], known: Any, what: str) -> None:
    for name in given:
        if name not in known:
            raise UnknownOptionError(f"unknown {what} {name!r}", hint=did_you_mean(name, known))


def _read_environment(environ: Mapping[str, str]) -> dict[str, Any]:
    names = {ENV_PREFIX + f.name.upper(): f.name for f in fields(EdgeConfig)}
    values: dict[str, Any] = {}
    for variable, text in environ.items():
        if not variable.startswith(ENV_PREFIX) or variable in OTHER_ENVIRONMENT:
            continue
        if variable not in names:
            raise UnknownOptionError(
                f"unknown environment variable {variable!r}", hint=did_you_mean(variable, names)
            )
        if text:
            values[names[variable]] = _parse(variable, names[variable], text)
    return values


def _parse(variable: str, name: str, text: str) -> Any:
    kind = next(str(field.type) for field in fields(EdgeConfig) if field.name == name)
    parse, what = _PARSERS.get(kind.removesuffix(" | None"), (str, "text"))
    try:
        return parse(text)
    except ValueError as exc:
        raise ConfigError(f"{variable} must be {what}, not {text!r}") from exc


def _parse_flag(text: str) -> bool:
    value = text.strip().lower()
    if value in ("1", "true", "yes", "on"):
        return True
    if value in ("0", "false", "no", "off"):
        return False
    raise ValueError(text)


def _context_size(text: str) -> ContextSize:
    return "auto" if text == "auto" else int(text)


def _provider_options(text: str) -> dict[str, str]:
    pairs = [item.partition("=") for item in text.split(",")]
    if not all(name and sign for name, sign, _ in pairs):
        raise ValueError(text)
    return {name.strip(): value.strip() for name, _, value in pairs}


_PARSERS: Mapping[str, tuple[Callable[[str], Any], str]] = MappingProxyType(
    {
        "int": (int, "a whole number"),
        "float": (float, "a number"),
        "bool": (_parse_flag, "1 or 0, true or false, yes or no, on or off"),
        "dict[str, str]": (_provider_options, "name=value, separated by commas"),
        "ContextSize": (_context_size, "a whole number or 'auto'"),
    }
)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _require_count(
    name: str, value: Any, *, least: int, most: int = 2**31 - 1, optional: bool = False
) -> None:
    if optional and value is None:
        return
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise ConfigError(f"{name} must be a whole number from {least} to {most}, not {value!r}")
