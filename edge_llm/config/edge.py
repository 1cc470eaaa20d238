"""One local model: what can be set, and what is refused."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal, TypeAlias, TypedDict, get_args

from edge_llm.config.budget import BudgetConfig
from edge_llm.config.checks import is_number, not_one_of, require_count
from edge_llm.config.confidence import ConfidenceConfig
from edge_llm.config.escalation import EscalationConfig
from edge_llm.config.privacy import PrivacyConfig
from edge_llm.config.tiers import TierConfig, parse_tiers
from edge_llm.errors import ConfigError
from edge_llm.types import Overflow

BUILTIN_MODEL = "builtin"

ContextSize: TypeAlias = int | Literal["auto"]
"""A number of tokens, or as many as memory allows."""

KVCacheType: TypeAlias = Literal["f16", "q8_0"]
"""How numbers are stored in the KV cache: 16 bits each, or 8.5."""

Device: TypeAlias = Literal["auto", "cpu", "npu", "gpu"]
"""What computes; "auto" takes an NPU or GPU that can run all of an ONNX model, else the CPU."""

SECTIONS: Mapping[str, type[Any]] = MappingProxyType(
    {
        "escalation": EscalationConfig,
        "confidence": ConfidenceConfig,
        "privacy": PrivacyConfig,
        "budget": BudgetConfig,
    }
)
"""Fields that are configurations of their own: a table in TOML, a prefix in the environment."""


TIER_OPTIONS = ("tiers", "cloud_url", "cloud_model", "cloud_key_env")
"""Fields that say which tiers there are; no single model has a use for them."""


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
    state_dir: str | None
    config_file: str | None
    tiers: Sequence[TierConfig | Mapping[str, Any]]
    cloud_url: str | None
    cloud_model: str | None
    cloud_key_env: str | None
    escalation: EscalationConfig | Mapping[str, Any]
    confidence: ConfidenceConfig | Mapping[str, Any]
    privacy: PrivacyConfig | Mapping[str, Any]
    budget: BudgetConfig | Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class EdgeConfig:
    """One local model and how to run it."""

    model: str = BUILTIN_MODEL
    """`builtin`, the path of a GGUF file, an ONNX file, or a folder with an ONNX model; a name of
    the catalogue, or `hf:owner/repo[@revision][:quant]`, once it was pulled."""
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
    state_dir: str | None = None
    """Where budgets and deferred requests are kept; None takes the user's folder for state."""
    tiers: tuple[TierConfig, ...] = ()
    """Local models and endpoints in the order in which they are asked; none: the one local `model`
    answers everything, and nothing is ever sent."""
    cloud_url: str | None = None
    """The short way to one more tier at the end: an OpenAI-compatible address."""
    cloud_model: str | None = None
    """The model there."""
    cloud_key_env: str | None = None
    """The environment variable that holds its key; None sends none."""
    escalation: EscalationConfig = field(default_factory=EscalationConfig)
    confidence: ConfidenceConfig = field(default_factory=ConfidenceConfig)
    privacy: PrivacyConfig = field(default_factory=PrivacyConfig)
    budget: BudgetConfig = field(default_factory=BudgetConfig)

    def __post_init__(self) -> None:
        if not self.model:
            raise ConfigError(
                "model is empty",
                hint="'builtin', a path, a name such as 'qwen3-0.6b', or hf:owner/repo",
            )
        _check_context_size(self.context_size)
        if self.kv_cache_type not in get_args(KVCacheType):
            raise ConfigError(not_one_of("kv_cache_type", KVCacheType, self.kv_cache_type))
        require_count("max_num_seqs", self.max_num_seqs, least=1, most=56)
        require_count("prefix_slots", self.prefix_slots, least=0, most=200)
        slowdown = self.max_decode_slowdown
        if not isinstance(slowdown, int | float) or not 1.0 < slowdown <= 1000.0:
            raise ConfigError(f"max_decode_slowdown must be above 1, up to 1000, not {slowdown!r}")
        require_count("threads", self.threads, least=1, most=512, optional=True)
        if not isinstance(self.worker, bool):
            raise ConfigError(f"worker must be True or False, not {self.worker!r}")
        alive = self.keep_alive
        if alive is not None and not (is_number(alive) and 0 <= alive <= 1e9):
            raise ConfigError(f"keep_alive must be None or seconds, 0 or more, not {alive!r}")
        require_count("prefill_threads", self.prefill_threads, least=1, most=512, optional=True)
        require_count("reserve_cores", self.reserve_cores, least=0, most=511)
        require_count("cache_max_mb", self.cache_max_mb, least=0)
        require_count("cache_daily_write_mb", self.cache_daily_write_mb, least=0)
        _check_device(self)
        for name, kind in SECTIONS.items():
            if not isinstance(getattr(self, name), kind):
                raise ConfigError(f"{name} must be a {kind.__name__}")
        if self.overflow not in get_args(Overflow):
            raise ConfigError(not_one_of("overflow", Overflow, self.overflow))
        # Tables, as they come from TOML or Python, become what they mean; the dataclass is frozen.
        object.__setattr__(self, "tiers", parse_tiers(self.tiers))
        _check_cloud(self)


def _check_device(config: EdgeConfig) -> None:
    if config.device not in get_args(Device):
        raise ConfigError(not_one_of("device", Device, config.device))
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


def _check_cloud(config: EdgeConfig) -> None:
    if config.cloud_url is None and (config.cloud_model or config.cloud_key_env):
        raise ConfigError("cloud_model and cloud_key_env need cloud_url")
    if config.cloud_url is not None and config.cloud_model is None:
        raise ConfigError("cloud_url needs cloud_model, the name of the model there")


def _check_context_size(value: object) -> None:
    if isinstance(value, str) and value != "auto":
        raise ConfigError(f"context_size must be a whole number or 'auto', not {value!r}")
    if value != "auto":
        require_count("context_size", value, least=16, optional=True)
