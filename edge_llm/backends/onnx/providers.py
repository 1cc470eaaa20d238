"""Which execution providers are here, which devices they have, and which one the user means.

A provider comes as a plugin library in a package of its own (`onnxruntime-qnn`,
`onnxruntime-ep-openvino`), which lists its devices, or built into onnxruntime itself
(`onnxruntime-openvino`, CoreML on macOS), where only trying tells whether there is a device.
"""

from __future__ import annotations

import importlib
import importlib.util
import logging
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, NamedTuple

from edge_llm.backends.base import DeviceKind
from edge_llm.backends.onnx.native import CPU, first_line, load_library
from edge_llm.config import EdgeConfig
from edge_llm.errors import ConfigError, DeviceUnavailableError, did_you_mean

logger = logging.getLogger(__name__)

_Options = Mapping[DeviceKind, Mapping[str, str]]


@dataclass(frozen=True, slots=True)
class Provider:
    """What is known of an execution provider."""

    name: str
    """What onnxruntime calls it."""
    plugin: str | None = None
    """Module that brings it as a plugin library."""
    built_in: _Options = field(default_factory=lambda: MappingProxyType({}))
    """Options that choose a device where it is built into onnxruntime."""
    fixed_on: frozenset[DeviceKind] = frozenset()
    """Devices that run nothing of free size."""
    hint: str = ""
    """How to get it."""


# Source: onnxruntime.ai/docs/execution-providers (QNN, OpenVINO, CoreML), read 2026-11-22.
PROVIDERS: Mapping[str, Provider] = MappingProxyType(
    {
        "qnn": Provider(
            "QNNExecutionProvider",
            plugin="onnxruntime_qnn",
            fixed_on=frozenset(("cpu", "npu", "gpu")),
            hint="pip install 'edge-llm[qnn]'",
        ),
        "openvino": Provider(
            "OpenVINOExecutionProvider",
            plugin="onnxruntime_ep_openvino",
            built_in=MappingProxyType(
                {
                    "cpu": MappingProxyType({"device_type": "CPU"}),
                    "gpu": MappingProxyType({"device_type": "GPU"}),
                    "npu": MappingProxyType({"device_type": "NPU"}),
                }
            ),
            fixed_on=frozenset(("npu",)),
            hint="pip install 'edge-llm[openvino]'; or, in an environment of its own,"
            " onnxruntime-openvino in place of onnxruntime",
        ),
        "coreml": Provider(
            "CoreMLExecutionProvider",
            built_in=MappingProxyType(
                {
                    "cpu": MappingProxyType({"MLComputeUnits": "CPUOnly"}),
                    "gpu": MappingProxyType({"MLComputeUnits": "CPUAndGPU"}),
                    "npu": MappingProxyType({"MLComputeUnits": "CPUAndNeuralEngine"}),
                }
            ),
            fixed_on=frozenset(("npu", "gpu")),
            hint="it comes with onnxruntime on macOS",
        ),
    }
)


class Target(NamedTuple):
    """A provider on a device, ready to open a session with."""

    provider: str
    device: DeviceKind
    options: Mapping[str, str]
    devices: tuple[Any, ...] = ()
    """onnxruntime's own handles; empty where the provider is built in."""
    fixed_shapes: bool = False
    """It runs nothing whose size is free."""


class Device(NamedTuple):
    """A device that onnxruntime lists."""

    provider: str
    kind: DeviceKind
    vendor: str
    handle: Any


ON_CPU = Target(CPU, "cpu", MappingProxyType({}))

_lock = threading.Lock()
_registered: set[str] = set()


def list_devices() -> list[Device]:
    """The devices of onnxruntime and of every plugin that is installed."""
    library = load_library()
    for provider in PROVIDERS.values():
        _register(library, provider)
    listed = library.get_ep_devices() if hasattr(library, "get_ep_devices") else []
    return [
        Device(found.ep_name, _kind(found), str(found.device.vendor), found) for found in listed
    ]


def find_targets(config: EdgeConfig) -> list[Target]:
    """What the configuration means, best first; the CPU is among them only if it may be used.

    Raises:
        DeviceUnavailableError: there is no such device or provider; says what there is.
        ConfigError: a provider that nobody knows.
    """
    if config.provider is None and config.device == "cpu":
        return [ON_CPU]
    if config.provider is not None:
        return _of_provider(config, config.provider)
    found = list(_accelerators(config))
    if config.device == "auto":
        return [*found, ON_CPU]
    if not found:
        raise DeviceUnavailableError(
            f"there is no {config.device.upper()} here that onnxruntime knows: it lists"
            f" {_describe(list_devices())}",
            hint="install the provider of its vendor ("
            + "; ".join(p.hint for p in PROVIDERS.values())
            + "), or use device='cpu'",
        )
    return found


def _accelerators(config: EdgeConfig) -> Iterator[Target]:
    """Listed NPUs, then GPUs; for an explicit device also what is built into the library."""
    kinds: Sequence[DeviceKind] = ("npu", "gpu") if config.device == "auto" else (config.device,)
    devices = list_devices()
    for kind in kinds:
        for device in devices:
            if device.kind == kind:
                yield _plugin_target(device, config)
        if config.device != "auto":
            yield from _built_in_targets(kind, config)


def _built_in_targets(kind: DeviceKind, config: EdgeConfig) -> Iterator[Target]:
    available = load_library().get_available_providers()
    for provider in PROVIDERS.values():
        if provider.name in available and kind in provider.built_in:
            yield _built_in_target(provider, kind, config)


def _of_provider(config: EdgeConfig, asked: str) -> list[Target]:
    library = load_library()
    known = PROVIDERS.get(asked.lower())
    provider = known or next((p for p in PROVIDERS.values() if p.name == asked), Provider(asked))
    if asked.lower() == "cpu" or asked == CPU:
        if config.device in ("npu", "gpu"):
            raise ConfigError(f"provider 'cpu' has no {config.device.upper()}")
        return [ON_CPU]
    listed = [device for device in list_devices() if device.provider == provider.name]
    fitting = [d for d in listed if config.device in ("auto", d.kind)]
    if fitting:
        best = min(fitting, key=lambda d: ("npu", "gpu", "cpu").index(d.kind))
        return [_plugin_target(best, config)]
    if listed:
        raise DeviceUnavailableError(
            f"{provider.name} has no {config.device.upper()} here, but {_describe(listed)}"
        )
    if provider.name in library.get_available_providers():
        kind: DeviceKind = "cpu" if config.device == "auto" else config.device
        return [_built_in_target(provider, kind, config)]
    names = [*PROVIDERS, "cpu", *library.get_available_providers()]
    if known is None and provider.name not in {p.name for p in PROVIDERS.values()}:
        raise ConfigError(f"unknown provider {asked!r}", hint=did_you_mean(asked, names))
    if provider.plugin is not None and importlib.util.find_spec(provider.plugin):
        raise DeviceUnavailableError(
            f"{provider.plugin} is installed and lists no device here",
            hint="install the vendor's driver, or use device='cpu'",
        )
    raise DeviceUnavailableError(
        f"this onnxruntime has no {provider.name}", hint=provider.hint or None
    )


def _plugin_target(device: Device, config: EdgeConfig) -> Target:
    provider = next((p for p in PROVIDERS.values() if p.name == device.provider), None)
    fixed = provider is not None and device.kind in provider.fixed_on
    options = {**_plugin_defaults(device.provider), **(config.provider_options or {})}
    return Target(device.provider, device.kind, options, (device.handle,), fixed)


def _plugin_defaults(name: str) -> Mapping[str, str]:
    """Where a plugin's own library does not find its parts by itself."""
    if name != PROVIDERS["qnn"].name:
        return {}
    return {"backend_path": importlib.import_module("onnxruntime_qnn").get_qnn_htp_path()}


def _built_in_target(provider: Provider, kind: DeviceKind, config: EdgeConfig) -> Target:
    options = {**provider.built_in.get(kind, {}), **(config.provider_options or {})}
    return Target(provider.name, kind, options, (), kind in provider.fixed_on)


def _register(library: Any, provider: Provider) -> None:
    """Make the devices of an installed plugin known, once a process."""
    if provider.plugin is None or not hasattr(library, "register_execution_provider_library"):
        return
    with _lock:
        if provider.name in _registered:
            return
        _registered.add(provider.name)
        try:
            plugin = importlib.import_module(provider.plugin)
        except ModuleNotFoundError:
            return
        try:
            # A device bears the name that its library is registered under.
            library.register_execution_provider_library(provider.name, plugin.get_library_path())
        except Exception as exc:  # noqa: BLE001 — a vendor's library may fail in any way
            logger.warning(
                "%s is installed and does not load: %s", provider.plugin, first_line(exc)
            )


def _kind(found: Any) -> DeviceKind:
    name = str(found.device.type).rpartition(".")[2].lower()
    return "npu" if name == "npu" else "gpu" if name == "gpu" else "cpu"


def _describe(devices: Sequence[Device]) -> str:
    names = [f"{d.kind.upper()} of {d.vendor or 'unknown make'} ({d.provider})" for d in devices]
    return ", ".join(names) or "none"
