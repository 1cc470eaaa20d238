"""`edge-llm pull`: what would come, how far it is, and where it lies now."""

from __future__ import annotations

import shlex
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

from edge_llm.backends.llama_cpp.fit import context_shape
from edge_llm.cli.output import printable
from edge_llm.cli.table import print_json
from edge_llm.config import EdgeConfig, is_offline, load_config
from edge_llm.device.memory import describe_bytes
from edge_llm.errors import ModelNotFoundError
from edge_llm.hub.client import HubClient, RemoteFile, RemoteRepo, remove_library_noise
from edge_llm.hub.gguf_memory import estimate_memory
from edge_llm.hub.pull import PullListener, pull
from edge_llm.hub.pull_plan import PullPlan, guess_memory, plan_pull
from edge_llm.hub.reference import parse_reference
from edge_llm.hub.registry import repositories
from edge_llm.hub.remote_model import read_remote_gguf
from edge_llm.hub.variants import Variant

_REPORT_INTERVAL_S = 1.0


def run(reference: str, *, dry_run: bool, as_json: bool) -> None:
    """Fetch a model, or with `dry_run` say what would be fetched.

    On a terminal with progress bars; into a pipe, or with `as_json`, as lines of JSON.

    Raises:
        ModelError: it is not there, does not fit, does not come, or cannot be written.
    """
    config = load_config()
    parsed = parse_reference(reference)
    if parsed.kind not in ("hub", "catalogue"):
        raise ModelNotFoundError(
            f"{reference!r} is not on the hub",
            hint="pull takes hf:owner/repo[:quant], owner/repo:quant, or a name of the catalogue",
        )
    names = repositories(parsed)
    remove_library_noise()
    client = HubClient(is_offline=is_offline())

    def estimate(client: HubClient, repo: RemoteRepo, variant: Variant) -> int:
        return estimate_remote(client, repo, variant, config)

    plan = plan_pull(client, parsed, names, estimate)
    as_json = as_json or not sys.stdout.isatty()
    if dry_run:
        print_json(describe(plan)) if as_json else print_plan(plan, client)
        return
    if as_json:
        print_json({"event": "plan", **describe(plan)})
        path = pull(client, plan, _JsonLines(plan))
        print_json({"event": "done", "model": str(path), "bytes": plan.total_bytes})
        return
    print_plan(plan, client)
    try:
        with _bars(plan) as listener:
            path = pull(client, plan, listener)
    except KeyboardInterrupt:
        print("stopped; the same command goes on from here", file=sys.stderr)
        raise
    print(f"{path}\nask it: edge-llm chat -m {shlex.quote(plan.reference.text)}")


def estimate_remote(
    client: HubClient, repo: RemoteRepo, variant: Variant, config: EdgeConfig
) -> int:
    """Bytes of memory that a model takes as it would be loaded, from its header on the hub.

    Raises:
        ModelFormatError: it is no sound model.
        ModelDownloadError: the header cannot be read.
    """
    if variant.kind != "gguf":
        return guess_memory(client, repo, variant)
    file = read_remote_gguf(client, repo, repo.files[variant.entry])
    estimate = estimate_memory(file, context_shape(file, config, 0))
    # The header of a first part knows only its own weights.
    return estimate.total - estimate.weights + variant.num_bytes


def describe(plan: PullPlan) -> dict[str, Any]:
    """A plan as JSON values."""
    return {
        "reference": plan.reference.text,
        "repo": plan.repo.name,
        "revision": plan.repo.revision,
        "commit": plan.repo.commit,
        "format": plan.variant.kind,
        "quantization": plan.variant.quant,
        "licence": plan.repo.licence,
        "gated": plan.repo.is_gated,
        "files": [
            {"path": file.path, "bytes": file.num_bytes, "hash": file.etag} for file in plan.files
        ],
        "total_bytes": plan.total_bytes,
        "missing_bytes": plan.missing_bytes,
        "memory_bytes": plan.memory_bytes,
        "available_bytes": plan.available_bytes,
        "fits": plan.fits,
        "others": [variant.label for variant in plan.others],
        "model": str(plan.path),
    }


def print_plan(plan: PullPlan, client: HubClient) -> None:
    """Say in a few lines what will come, from where and to where."""
    repo = plan.repo
    kind = f"{plan.variant.kind.upper()} {plan.variant.quant}".strip()
    print(f"{printable(repo.name)}  {kind}  commit {repo.commit[:12]}")
    print(f"licence   {printable(repo.licence or 'not said')}{', gated' if repo.is_gated else ''}")
    files = f"{len(plan.files)} file{'s' if len(plan.files) > 1 else ''}"
    here = plan.present_bytes
    print(
        f"download  {describe_bytes(plan.missing_bytes)} in {files}"
        + (f"; {describe_bytes(here)} are here already" if here else "")
    )
    state = "fits" if plan.fits else "does NOT fit"
    print(
        f"memory    about {describe_bytes(plan.memory_bytes)}, {state} in the"
        f" {describe_bytes(plan.available_bytes)} that are free"
    )
    if plan.others:
        labels = ", ".join(printable(variant.label) for variant in plan.others[:8])
        print(f"others    {labels}{' …' if len(plan.others) > 8 else ''}")
    print(f"to        {plan.path}")
    if repo.is_gated and not client.has_token():
        print(f"gated     accept its licence at {client.endpoint}/{repo.name} and set HF_TOKEN")


class _JsonLines:
    """One line a second at most, and one for each finished file."""

    def __init__(self, plan: PullPlan) -> None:
        self._done = dict.fromkeys((file.path for file in plan.files), 0)
        self._total = plan.total_bytes
        self._reported_at = time.monotonic()

    def on_bytes(self, file: RemoteFile, num_bytes: int) -> None:
        """Say how far all files together are."""
        if self._done[file.path] == num_bytes:
            return
        self._done[file.path] = num_bytes
        now = time.monotonic()
        if num_bytes < file.num_bytes and now - self._reported_at < _REPORT_INTERVAL_S:
            return
        self._reported_at = now
        print_json(
            {
                "event": "progress",
                "file": file.path,
                "file_bytes": num_bytes,
                "bytes": sum(self._done.values()),
                "total_bytes": self._total,
            }
        )
        sys.stdout.flush()


@contextmanager
def _bars(plan: PullPlan) -> Generator[PullListener]:
    """A bar for each file on the terminal, with speed and time left."""
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn
    from rich.progress import TransferSpeedColumn as Speed

    columns = (
        TextColumn("{task.fields[file]}", markup=False),
        BarColumn(),
        DownloadColumn(binary_units=True),
        Speed(),
        TimeRemainingColumn(),
    )
    with Progress(*columns) as progress:
        tasks = {
            file.path: progress.add_task("", total=file.num_bytes, file=printable(file.path))
            for file in plan.files
        }

        class Bars:
            def on_bytes(self, file: RemoteFile, num_bytes: int) -> None:
                progress.update(tasks[file.path], completed=num_bytes)

        yield Bars()
