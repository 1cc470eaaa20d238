"""`edge-llm cache`: what is kept on disk, prefixes and compiled graphs, and how to empty it."""

from __future__ import annotations

import sys
import time
from typing import Any

from edge_llm.backends.onnx.compiled_store import (
    CompiledGraph,
    clear_compiled,
    compiled_folder,
    list_compiled,
)
from edge_llm.cli.table import print_json, print_table
from edge_llm.config import EdgeConfig, cache_folder, load_config
from edge_llm.device.memory import describe_bytes
from edge_llm.engine.snapshot_folder import SnapshotFolder
from edge_llm.engine.snapshot_report import CacheReport, StoredSnapshot, clear, inspect
from edge_llm.errors import ConfigError


def list_snapshots(cache_dir: str | None, *, as_json: bool) -> None:
    """Print one line for each snapshot and each compiled graph, those used last first."""
    config = _config(cache_dir)
    report = inspect(SnapshotFolder(cache_folder(config)))
    graphs = list_compiled(compiled_folder(config))
    if as_json or not sys.stdout.isatty():
        print_json(
            {
                "folder": str(report.folder),
                "snapshots": [_record(s) for s in report.snapshots],
                "compiled": [_graph_record(graph) for graph in graphs],
            }
        )
        return
    if not report.snapshots:
        print(f"no prefixes are kept in {report.folder}")
    else:
        rows = [_row(snapshot, time.time()) for snapshot in report.snapshots]
        print_table(("model", "tokens", "size", "last used", "file"), rows)
    if graphs:
        print()
        rows = [_graph_row(graph, time.time()) for graph in graphs]
        print_table(("compiled", "for", "size", "last used", "folder"), rows)


def print_stats(cache_dir: str | None, *, as_json: bool) -> None:
    """Print how much is kept, how much may be, and what was written today."""
    config = _config(cache_dir)
    report = inspect(SnapshotFolder(cache_folder(config)))
    graphs = list_compiled(compiled_folder(config))
    record = _stats(config, report) | {
        "compiled": len(graphs),
        "compiled_bytes": sum(graph.num_bytes for graph in graphs),
    }
    if as_json or not sys.stdout.isatty():
        print_json(record)
        return
    print(f"folder          {report.folder}")
    limit = describe_bytes(config.cache_max_mb * 10**6)
    print(f"kept            {len(report.snapshots)} prefixes, {report.num_tokens} tokens")
    print(f"size            {describe_bytes(report.num_bytes)} of {limit}")
    daily = describe_bytes(config.cache_daily_write_mb * 10**6)
    print(f"written today   {describe_bytes(report.written_today_bytes)} of {daily}")
    print(f"seen once       {report.num_seen} prefixes; a second time, and they are kept")
    if graphs:
        size = describe_bytes(record["compiled_bytes"])
        print(f"compiled        {len(graphs)} graphs for other devices, {size}")
    if report.num_unusable:
        print(f"unusable        {report.num_unusable} files, damaged or of another version")


def clear_cache(cache_dir: str | None, *, yes: bool, as_json: bool) -> None:
    """Remove every snapshot and every compiled graph, of every model, after asking.

    Raises:
        ConfigError: there is nobody to ask, and no `--yes`.
    """
    config = _config(cache_dir)
    folder = SnapshotFolder(cache_folder(config))
    files, graphs = folder.scan(), list_compiled(compiled_folder(config))
    size = sum(file.num_bytes for file in files) + sum(graph.num_bytes for graph in graphs)
    what = _counted(len(files), len(graphs))
    if not yes and not _agreed(f"remove {what}, {describe_bytes(size)}?"):
        print("nothing was removed", file=sys.stderr)
        return
    cleared = clear(folder)
    num_graphs, graph_bytes = clear_compiled(compiled_folder(config))
    freed = cleared.num_bytes + graph_bytes
    if as_json or not sys.stdout.isatty():
        print_json(
            {
                "removed": cleared.num_files,
                "removed_compiled": num_graphs,
                "freed_bytes": freed,
            }
        )
    else:
        print(f"removed {_counted(cleared.num_files, num_graphs)}, {describe_bytes(freed)}")


def _counted(num_prefixes: int, num_graphs: int) -> str:
    graphs = f" and {num_graphs} compiled graphs" if num_graphs else ""
    return f"{num_prefixes} prefixes{graphs}"


def _config(cache_dir: str | None) -> EdgeConfig:
    return load_config({"cache_dir": cache_dir})


def _agreed(question: str) -> bool:
    if not sys.stdin.isatty():
        raise ConfigError("there is nobody to ask", hint="edge-llm cache clear --yes")
    return input(f"{question} [y/N] ").strip().lower() in ("y", "yes")


def _record(snapshot: StoredSnapshot) -> dict[str, Any]:
    return {
        "file": snapshot.file.name,
        "model": snapshot.model,
        "tokens": snapshot.num_tokens,
        "bytes": snapshot.file.num_bytes,
        "used_at": round(snapshot.file.used_at),
        "problem": snapshot.problem,
    }


def _graph_record(graph: CompiledGraph) -> dict[str, Any]:
    return {
        "folder": graph.path.name,
        "model": graph.model,
        "provider": graph.provider,
        "bytes": graph.num_bytes,
        "used_at": round(graph.used_at),
        "problem": graph.problem,
    }


def _graph_row(graph: CompiledGraph, now: float) -> tuple[str, ...]:
    return (
        _visible(graph.model) or "?",
        _visible(graph.provider) if graph.problem is None else graph.problem,
        describe_bytes(graph.num_bytes),
        _ago(now - graph.used_at),
        _visible(graph.path.name),
    )


def _stats(config: EdgeConfig, report: CacheReport) -> dict[str, Any]:
    return {
        "folder": str(report.folder),
        "snapshots": len(report.snapshots),
        "unusable": report.num_unusable,
        "tokens": report.num_tokens,
        "bytes": report.num_bytes,
        "max_bytes": config.cache_max_mb * 10**6,
        "written_today_bytes": report.written_today_bytes,
        "daily_write_bytes": config.cache_daily_write_mb * 10**6,
        "seen_once": report.num_seen,
    }


def _row(snapshot: StoredSnapshot, now: float) -> tuple[str, ...]:
    return (
        _visible(snapshot.model) or "?",
        str(snapshot.num_tokens) if snapshot.problem is None else snapshot.problem,
        describe_bytes(snapshot.file.num_bytes),
        _ago(now - snapshot.file.used_at),
        snapshot.file.name,
    )


def _visible(text: str) -> str:
    return "".join(c if c.isprintable() else "\ufffd" for c in text)


def _ago(seconds: float) -> str:
    for name, size in (("day", 86_400), ("hour", 3600), ("minute", 60)):
        count = int(seconds // size)
        if count > 0:
            return f"{count} {name}{'s' if count > 1 else ''} ago"
    return "just now"
