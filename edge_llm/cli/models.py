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
    """Without a command: what is on this machine, and what suits it of the catalogue."""
    if context.invoked_subcommand is not None:
        return
    from edge_llm.cli import models_view as command

    command.run(as_json=as_json)


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
    """Hash the files again and compare them with what was promised."""
    from edge_llm.cli import models_verify as command

    command.run(reference, as_json=as_json)


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
        str | None,
        typer.Argument(
            metavar="[DIR|NAME]",
            help="A folder that 'models export' made; or a model of another program, such as"
            " 'ollama:qwen3:0.6b'; or 'ollama', 'lmstudio' for all of its models. Left out, what"
            " could be imported.",
        ),
    ] = None,
    store: Annotated[
        str | None,
        typer.Option("--store", metavar="DIR", help="The other program's folder of models."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Take in an exported folder; or use Ollama's or LM Studio's models where they lie."""
    from edge_llm.cli import models_import as command

    command.run(source, store=store, as_json=as_json)
