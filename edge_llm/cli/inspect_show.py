"""What `edge-llm inspect` found, on a terminal: facts, then tables, then warnings."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from edge_llm.cli.output import printable
from edge_llm.device.memory import describe_bytes

_TABLES = ("tensor_types", "contexts")
_LAST = "warnings"
_LABELS = {"file_bytes": "file size", "state_bytes": "state of a sequence"}
_ABSENT = {"problem": "none", "experts": "none"}
"""What it means that nothing is there, where that says something."""


def show(record: Mapping[str, Any]) -> None:
    """The record on the terminal."""
    from rich.console import Console
    from rich.text import Text

    console = Console()
    facts = {key: value for key, value in record.items() if key not in (*_TABLES, _LAST)}
    if "template" in facts:  # pages of Jinja are for programs
        facts["template"] = {k: v for k, v in facts["template"].items() if k != "text"}
    _show_rows(console, rows(facts))
    if types := record.get("tensor_types"):
        _show_table(console, ("stored as", "tensors", "size", "share"), _type_rows(types))
    if contexts := record.get("contexts"):
        titles = ("context", "KV cache", "memory", "fits", "tokens/s when full")
        _show_table(console, titles, _context_rows(contexts))
    for warning in record.get(_LAST, ()):
        console.print(Text(f"warning: {printable(warning)}", style="yellow"))


def rows(record: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Lines of a table: one for each value, and one for each inner list."""
    for name, value in record.items():
        label = f"{prefix}{_label(name)}"
        if isinstance(value, Mapping) and any(
            isinstance(v, Mapping | list) for v in value.values()
        ):
            yield from rows(value, f"{label}: ")
        elif isinstance(value, Mapping):
            parts = [f"{_label(n)} {_text(n, v)}" for n, v in value.items() if v not in (None, "")]
            yield label, ", ".join(parts) or "none"
        else:
            yield label, _text(name, value)


def _show_rows(console: Any, lines: Iterator[tuple[str, str]]) -> None:
    from rich.table import Table
    from rich.text import Text

    table = Table(show_header=False, box=None, pad_edge=False)
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for name, text in lines:
        table.add_row(Text(name), Text(printable(text)))
    console.print(table)


def _show_table(console: Any, titles: Sequence[str], lines: Iterator[tuple[str, ...]]) -> None:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="dim")
    for number, title in enumerate(titles):
        table.add_column(title, justify="right" if number else "left", no_wrap=True)
    for line in lines:
        table.add_row(*(Text(printable(cell)) for cell in line))
    console.print()
    console.print(table)


def _type_rows(types: Mapping[str, Mapping[str, int]]) -> Iterator[tuple[str, ...]]:
    total = sum(use["bytes"] for use in types.values()) or 1
    for name, use in types.items():
        share = f"{100 * use['bytes'] / total:.1f} %"
        yield name, f"{use['tensors']:,}", describe_bytes(use["bytes"]), share


def _context_rows(contexts: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, ...]]:
    for line in contexts:
        yield (
            f"{line['context']:,}",
            describe_bytes(line["kv_cache_bytes"]),
            describe_bytes(line["total_bytes"]),
            "yes" if line["fits"] else "no",
            f"{line['tokens_per_s']:,.1f}",
        )


def _label(name: str) -> str:
    return _LABELS.get(name) or name.removesuffix("_bytes").replace("_", " ")


def _text(name: str, value: object) -> str:
    if value is None or value == "":
        return _ABSENT.get(name, "not said")
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        is_size = "bytes" in name.split("_")
        return (
            describe_bytes(value) + ("/s" if name.endswith("_per_s") else "")
            if is_size
            else f"{value:,}"
        )
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ", ".join(_text("", item) for item in value) or "none"
    return str(value)
