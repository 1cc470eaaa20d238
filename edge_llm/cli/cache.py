"""`edge-llm cache`: what the prefix cache keeps on disk, and how to empty it."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

from edge_llm.cli.table import print_json, print_table
from edge_llm.config import EdgeConfig, cache_folder, load_config
from edge_llm.device.memory import describe_bytes
from edge_llm.engine.snapshot_folder import SnapshotFolder
from edge_llm.engine.snapshot_report import CacheReport, StoredSnapshot, clear, inspect
from edge_llm.errors import ConfigError


def list_snapshots(cache_dir: str | None, *, as_json: bool) -> None:
    """Print one line for each snapshot, the one used last first."""
    report = inspect(SnapshotFolder(_folder(cache_dir)))
    if as_json or not sys.stdout.isatty():
        print_json(
            {"folder": str(report.folder), "snapshots": [_record(s) for s in report.snapshots]}
        )
        return
    if not report.snapshots:
        print(f"no prefixes are kept in {report.folder}")
        return
    rows = [_row(snapshot, time.time()) for snapshot in report.snapshots]
    print_table(("model", "tokens", "size", "last used", "file"), rows)


def print_stats(cache_dir: str | None, *, as_json: bool) -> None:
    """Print how much is kept, how much may be, and what was written today."""
    config = _config(cache_dir)
    report = inspect(SnapshotFolder(cache_folder(config)))
    record = _stats(config, report)
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
    if report.num_unusable:
        print(f"unusable        {report.num_unusable} files, damaged or of another version")


def clear_cache(cache_dir: str | None, *, yes: bool, as_json: bool) -> None:
    """Remove every snapshot, of every model, after asking.

    Raises:
        ConfigError: there is nobody to ask, and no `--yes`.
    """
    folder = SnapshotFolder(_folder(cache_dir))
    files = folder.scan()
    size = sum(file.num_bytes for file in files)
    if not yes and not _agreed(f"remove {len(files)} prefixes, {describe_bytes(size)}?"):
        print("nothing was removed", file=sys.stderr)
        return
    cleared = clear(folder)
    if as_json or not sys.stdout.isatty():
        print_json({"removed": cleared.num_files, "freed_bytes": cleared.num_bytes})
    else:
        print(f"removed {cleared.num_files} prefixes, {describe_bytes(cleared.num_bytes)}")


def _config(cache_dir: str | None) -> EdgeConfig:
    return load_config({"cache_dir": cache_dir})


def _folder(cache_dir: str | None) -> Path:
    return cache_folder(_config(cache_dir))


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
        "".join(c if c.isprintable() else "\ufffd" for c in snapshot.model) or "?",
        str(snapshot.num_tokens) if snapshot.problem is None else snapshot.problem,
        describe_bytes(snapshot.file.num_bytes),
        _ago(now - snapshot.file.used_at),
        snapshot.file.name,
    )


def _ago(seconds: float) -> str:
    for name, size in (("day", 86_400), ("hour", 3600), ("minute", 60)):
        count = int(seconds // size)
        if count > 0:
            return f"{count} {name}{'s' if count > 1 else ''} ago"
    return "just now"
