"""`edge-llm pull` and `edge-llm models …`: options only. Each command's work is in its own module.

Only typer is imported here, because `edge-llm --help` must stay fast.
"""

from __future__ import annotations

from typing import Annotated

import typer

models_app = typer.Typer(
    help="Models on this machine: which there are, whether they are whole, what fits.",
    rich_markup_mode=None,
)

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, as into a pipe.")]


def pull(
    reference: Annotated[
        str,
        typer.Argument(
            metavar="REF",
            help="A name such as 'qwen3-0.6b', hf:owner/repo[@revision][:quant-or-file], or"
            " owner/repo:Q4_K_M.",
        ),
    ],
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Say what would be fetched, how much and where to."),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Fetch a model from the hub: what fits this machine, checked, resumed where it stopped."""
    from edge_llm.cli import pull as command

    command.run(reference, dry_run=dry_run, as_json=as_json)


@models_app.callback(invoke_without_command=True)
def models(context: typer.Context, as_json: AsJson = False) -> None:
    """Models on this machine: which there are, whether they are whole, what fits."""
    if context.invoked_subcommand is not None:
        return
    from edge_llm.cli import models_store as command

    command.list_installed(as_json=as_json)


@models_app.command("rm")
def remove(
    reference: Annotated[
        str, typer.Argument(metavar="REF", help="The model, as it was pulled or as it is listed.")
    ],
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    as_json: AsJson = False,
) -> None:
    """Remove a pulled model; files that others share stay."""
    from edge_llm.cli import models_store as command

    command.remove(reference, yes=yes, as_json=as_json)


@models_app.command("verify")
def verify(
    reference: Annotated[
        str | None, typer.Argument(metavar="[REF]", help="One model; left out, all of them.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Hash the files again and compare them with what the hub promised."""
    from edge_llm.cli import models_store as command

    command.verify(reference, as_json=as_json)


@models_app.command("export")
def export(
    reference: Annotated[str, typer.Argument(metavar="REF", help="A pulled model.")],
    folder: Annotated[str, typer.Argument(metavar="DIR", help="A folder to make, on any disk.")],
    as_json: AsJson = False,
) -> None:
    """Copy a pulled model into a folder, for a machine without a network."""
    from edge_llm.cli import models_store as command

    command.export(reference, folder, as_json=as_json)


@models_app.command("import")
def import_(
    source: Annotated[
        str, typer.Argument(metavar="DIR", help="A folder that 'models export' made.")
    ],
    as_json: AsJson = False,
) -> None:
    """Take in an exported folder, every file checked, as if it had been pulled."""
    from edge_llm.cli import models_store as command

    command.import_exported(source, as_json=as_json)
