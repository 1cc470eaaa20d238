"""How the doctor's findings look: tables on a terminal, plain lines into a pipe."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TextIO

from edge_llm.cli.output import printable
from edge_llm.device.memory import describe_bytes

_SECTIONS = ("machine", "libraries", "caches", "configuration", "endpoints")
_STYLES = {"error": "bold red", "warning": "yellow", "note": "cyan"}
_LONG = frozenset(("system_info",))
"""Said in other words beside it."""
_MEANING = "means"
_FIX = "fix"


def show(record: Mapping[str, Any], stream: TextIO) -> None:
    """Facts by section, then the findings, the worst first."""
    if stream.isatty():
        _show_tables(record, stream)
        return
    for section in _SECTIONS:
        if section in record:
            print(f"{section}", file=stream)
            for name, text in fact_rows(record[section]):
                print(f"  {name}: {text}", file=stream)
    for line in _finding_lines(record["findings"]):
        print(line, file=stream)


def fact_rows(facts: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """A line for each fact; what is a default is left out, and maps of maps are unfolded."""
    for name, value in facts.items():
        label = f"{prefix}{_plain(name)}"
        if isinstance(value, Mapping) and set(value) == {"value", "source"}:
            if value["source"] != "default":
                yield label, printable(f"{value['value']} (from {value['source']})")
        elif isinstance(value, Mapping) and any(isinstance(v, Mapping) for v in value.values()):
            yield from fact_rows(value, f"{label}: ")
        elif isinstance(value, Mapping):
            parts = [f"{_plain(k)} {_text(k, v)}" for k, v in value.items() if k not in _LONG]
            yield label, ", ".join(parts) or "none"
        else:
            yield label, _text(name, value)


def _plain(name: str) -> str:
    """A name as people write it; names of variables and of storage types stay as they are."""
    if name.isupper():
        return name
    return name.removesuffix("_bytes").removesuffix("_gb_s").replace("_", " ")


def _text(name: str, value: object) -> str:
    if name.endswith("_gb_s"):
        return f"{value} GB/s"
    if value is None or value == "":
        return "unknown"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int) and name.endswith("_bytes"):
        return describe_bytes(value)
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ", ".join(printable(str(item)) for item in value) or "none"
    return printable(str(value))


def _finding_lines(findings: Sequence[Mapping[str, str]]) -> Iterator[str]:
    yield "findings" if findings else "nothing was found that should be otherwise"
    for finding in findings:
        yield printable(f"  {finding['severity']}: {finding['about']}: {finding['what']}")
        yield printable(f"    {_MEANING}: {finding['meaning']}")
        if finding["fix"]:
            yield printable(f"    {_FIX}: {finding['fix']}")


def _show_tables(record: Mapping[str, Any], stream: TextIO) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(file=stream)
    for section in _SECTIONS:
        if section not in record:
            continue
        table = Table(title=section, title_justify="left", show_header=False, box=None)
        table.add_column(style="dim", no_wrap=True)
        table.add_column(overflow="fold")
        for name, text in fact_rows(record[section]):
            table.add_row(Text(name), Text(text))
        console.print(table)
        console.print()
    if not record["findings"]:
        console.print("nothing was found that should be otherwise")
    for finding in record["findings"]:
        style = _STYLES[finding["severity"]]
        head = Text(finding["severity"], style=style)
        console.print(head, Text(printable(f"{finding['about']}: {finding['what']}")))
        console.print(Text(printable(f"  {finding['meaning']}"), style="dim"))
        if finding["fix"]:
            # Not wrapped: it is there to be copied.
            console.print(Text(printable(f"  {finding['fix']}")), soft_wrap=True)
