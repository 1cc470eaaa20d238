"""`edge-llm models`: what is here, and what of the catalogue suits this machine."""

from __future__ import annotations

import shutil
import sys
import textwrap
from collections.abc import Iterator, Sequence

from edge_llm.backends.speed import machine_speed
from edge_llm.cli.inspect_parts import Record
from edge_llm.cli.models_installed import Machine, describe_installed
from edge_llm.cli.models_recommended import describe_recommended
from edge_llm.cli.output import printable
from edge_llm.cli.table import print_json, print_table
from edge_llm.config import load_config
from edge_llm.device.memory import available_memory_bytes, describe_bytes

_INSTALLED = ("on this machine", "size", "stored as", "memory for", "tokens/s", "licence")
_RECOMMENDED = ("to pull", "about", "stored as", "memory for", "tokens/s", "licence", "")


def run(*, as_json: bool) -> None:
    """Print both lists: as tables on a terminal, else as one JSON object.

    Raises:
        ConfigError: a setting in the environment is wrong.
    """
    config = load_config()
    machine = Machine(available_memory_bytes(), machine_speed(config), config)
    installed = describe_installed(machine)
    recommended = describe_recommended(machine, installed)
    if as_json or not sys.stdout.isatty():
        print_json(
            {
                "machine": describe_machine(machine),
                "models": installed,
                "recommended": recommended,
            }
        )
        return
    print_table(_INSTALLED, [_installed_row(record) for record in installed])
    for problem in _problems(installed):
        print(f"problem: {problem}")
    print()
    print_table(_RECOMMENDED, [_recommended_row(record) for record in recommended])
    print(textwrap.fill(_footnote(machine), min(100, shutil.get_terminal_size().columns)))


def describe_machine(machine: Machine) -> Record:
    """What the figures rest on."""
    return {
        "free_bytes": machine.free_bytes,
        "bandwidth_bytes_per_s": round(machine.speed.bandwidth),
        "threads": machine.speed.threads,
    }


def _installed_row(record: Record) -> tuple[str, ...]:
    size = describe_bytes(record["bytes"]) if "bytes" in record else "?"
    if record["problem"] is not None:
        return printable(record["reference"]), size, "", "", "", "see below"
    return (
        printable(record["reference"]),
        size,
        printable(record["quantization"]),
        _context(record),
        _rate(record),
        printable(record["license"] or "not said"),
    )


def _recommended_row(record: Record) -> tuple[str, ...]:
    notes = [] if record["verdict"] == "good" else [record["verdict"]]
    notes += ["installed"] if record["installed"] else []
    notes += ["gated"] if record["gated"] else []
    return (
        record["name"],
        describe_bytes(record["estimated_bytes"]),
        record["quantization"],
        _context(record),
        _rate(record),
        record["license"],
        ", ".join(notes),
    )


def _context(record: Record) -> str:
    return f"{record['fitting_context']:,} tokens" if record["fits"] else "not even a short text"


def _rate(record: Record) -> str:
    rate = record["tokens_per_s"]
    return "" if not record["fits"] else f"{rate:,.0f}" if rate >= 10 else f"{rate:.1f}"


def _problems(records: Sequence[Record]) -> Iterator[str]:
    for record in records:
        if record["problem"] is not None:
            yield printable(f"{record['reference']}: {record['problem']}")


def _footnote(machine: Machine) -> str:
    speed = machine.speed
    return (
        f"{describe_bytes(machine.free_bytes)} of memory are free;"
        f" {describe_bytes(round(speed.bandwidth))}/s were measured with {speed.threads} threads."
        " What is not here is estimated from its number of parameters: 'edge-llm inspect NAME'"
        " reads its header, 'edge-llm pull NAME' fetches it."
    )
