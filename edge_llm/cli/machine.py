"""`edge-llm doctor` and `edge-llm report`: options only. Each command's work is in its own package.

Only typer is imported here, because `edge-llm --help` must stay fast.
"""

from __future__ import annotations

from typing import Annotated

import typer

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


def doctor(
    online: Annotated[
        bool, typer.Option("--online", help="Ask the configured servers too, once each.")
    ] = False,
    bundle: Annotated[
        str | None,
        typer.Option("--bundle", metavar="FILE", help="Write a zip to send, without secrets."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Say what this machine and this installation can do, what is wrong, and the fix."""
    from edge_llm.cli.doctor import run as command

    command.run(online=online, as_json=as_json, bundle=bundle)


def report(
    models: Annotated[
        list[str] | None,
        typer.Argument(metavar="[MODEL]...", help="What to measure; else all that are installed."),
    ] = None,
    output: Annotated[
        str, typer.Option("--output", "-o", metavar="FILE", help="Where the figures go.")
    ] = "edge-llm-report.json",
    quick: Annotated[
        bool, typer.Option("--quick", help="Fewer contexts and sentences: about half a minute.")
    ] = False,
) -> None:
    """Measure this machine and its models, and write a file that can be sent, without secrets."""
    from edge_llm.cli.report import run as command

    command.run(models or [], output=output, quick=quick)
