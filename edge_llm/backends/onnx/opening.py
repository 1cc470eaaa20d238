"""Opens a decoder on the first device that was meant and can run it, and says where it runs."""

from __future__ import annotations

import importlib.metadata
import logging
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from edge_llm.backends.base import Placement
from edge_llm.backends.onnx.compiled import OpenedSession, compiled_key, open_compiled
from edge_llm.backends.onnx.compiled_store import compiled_folder
from edge_llm.backends.onnx.fit import OnnxFit
from edge_llm.backends.onnx.fixed import CHUNK, FixedGraph, FixedStore, fixed_extents
from edge_llm.backends.onnx.graph import DecoderGraph
from edge_llm.backends.onnx.growing import GrowingStore
from edge_llm.backends.onnx.native import CPU, SessionSettings, load_library, open_session
from edge_llm.backends.onnx.placement import judge_placement, read_assignment
from edge_llm.backends.onnx.providers import PROVIDERS, Target, find_targets
from edge_llm.backends.onnx.shared import SharedStore
from edge_llm.backends.onnx.store import KVStore
from edge_llm.backends.onnx.threads import SessionThreads
from edge_llm.config import EdgeConfig
from edge_llm.errors import DeviceUnavailableError, UnsupportedModelError
from edge_llm.hub.fingerprint import content_fingerprint
from edge_llm.hub.onnx import DecoderInterface, OnnxFile

logger = logging.getLogger(__name__)


class OpenedModel(NamedTuple):
    """A decoder that runs."""

    graph: DecoderGraph
    store: KVStore
    placement: Placement
    target: Target
    fit: OnnxFit


@dataclass(frozen=True, slots=True)
class Opener:
    """Opens one decoder on one target or another."""

    file: OnnxFile
    interface: DecoderInterface
    config: EdgeConfig
    fit: Callable[[Target], OnnxFit]
    """The context and rows that the model may have on a target."""
    threads: Callable[[Target, OnnxFit], SessionThreads]

    def open(self) -> OpenedModel:
        """The decoder on the best target that can run it.

        Raises:
            DevicePlacementError: the chosen device cannot run all of it.
            DeviceUnavailableError: there is no such device, or it does not start.
            ModelError: it cannot be run at all.
        """
        *preferred, last = find_targets(self.config)
        refused = ""
        for target in preferred:
            try:
                opened = self._open_on(target)
            except (UnsupportedModelError, DeviceUnavailableError) as exc:
                refused = exc.message
                logger.warning("not on %s: %s", target.provider, exc)
            else:
                _say(opened.placement)
                return opened
        opened = self._open_on(last)
        placement = replace(opened.placement, note=refused)
        _say(placement)
        return opened._replace(placement=placement)

    def _open_on(self, target: Target) -> OpenedModel:
        fit = self.fit(target)
        threads = self.threads(target, fit)
        settings = SessionSettings(
            threads=threads.plan.decode,
            spins=threads.spins,
            provider=target.provider,
            provider_options=target.options,
            devices=target.devices,
        )
        if target.fixed_shapes:
            return self._open_fixed(target, fit, settings)
        session = open_session(self.file.path, settings)
        placement = self._judge(session, target)
        graph = DecoderGraph(session, self.interface)
        return OpenedModel(graph, open_store(graph, fit), placement, target, fit)

    def _judge(self, session: Any, target: Target) -> Placement:
        if target.provider == CPU:
            ops = Counter(node.op_type for node in self.file.graph.nodes)
            return judge_placement({CPU: ops}, target, self.file, strict=False)
        strict = not self.config.cpu_fallback
        return judge_placement(read_assignment(session), target, self.file, strict=strict)

    def _open_fixed(self, target: Target, fit: OnnxFit, settings: SessionSettings) -> OpenedModel:
        graphs = []
        for length in (min(CHUNK, fit.context_size), 1):
            fixed = fixed_extents(self.file, self.interface, length, fit.context_size)
            opened = self._open_compiled(target, replace(settings, fixed=fixed))
            placement = judge_placement(
                opened.assignment, target, self.file, strict=not self.config.cpu_fallback
            )
            graphs.append(FixedGraph(opened.session, self.interface, length, fit.context_size))
        store = FixedStore(graphs[0], graphs[1], fit.num_rows, fit.context_size)
        store.try_out()
        return OpenedModel(graphs[0], store, placement, target, fit)

    def _open_compiled(self, target: Target, settings: SessionSettings) -> OpenedSession:
        if not self.config.cache_max_mb:
            session = open_session(self.file.path, settings)
            return OpenedSession(session, read_assignment(session))
        key = compiled_key(
            {
                "model": content_fingerprint(self.file.path),
                "provider": target.provider,
                "options": dict(target.options),
                "device": target.device,
                "library": f"{load_library().__version__} {_plugin_version(target)}",
                "fixed": dict(settings.fixed),
            }
        )
        return open_compiled(self.file.path, settings, compiled_folder(self.config), key)


def open_store(graph: DecoderGraph, fit: OnnxFit) -> KVStore:
    """Room for KV state that suits the graph; the graph has run once then."""
    if graph.interface.shares_buffer:
        shared = SharedStore(graph, fit.num_rows, fit.context_size)
        graph.try_out(shared.binding(0))
        return shared
    growing = GrowingStore(graph)
    graph.try_out(growing.binding(0))
    if graph.interface.cache_branch is not None:
        growing.check_chunks()
    return growing


def _plugin_version(target: Target) -> str:
    provider = next((p for p in PROVIDERS.values() if p.name == target.provider), None)
    if not target.devices or provider is None or provider.plugin is None:
        return ""
    try:
        return importlib.metadata.version(provider.plugin.replace("_", "-"))
    except importlib.metadata.PackageNotFoundError:
        return ""


def _say(placement: Placement) -> None:
    where = ", ".join(f"{count} on {name}" for name, count in placement.nodes.items())
    logger.info("nodes: %s", where)
    if placement.num_elsewhere:
        logger.warning(
            "%d nodes run on the CPU, which cpu_fallback allows: %s",
            placement.num_elsewhere, where,
        )  # fmt: skip
