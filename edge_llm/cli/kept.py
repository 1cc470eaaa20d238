"""`edge-llm cache`, `deferred` and `budget`: options only, for what is kept on disk.

Only typer is imported here, because `edge-llm --help` must stay fast.
"""

from __future__ import annotations

from typing import Annotated

import typer

cache_app = typer.Typer(
    help="What is kept on disk across restarts: prefixes, and graphs compiled for NPUs.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

CacheDir = Annotated[
    str | None,
    typer.Option("--cache-dir", help="The folder; else EDGE_LLM_CACHE_DIR, or the user's own."),
]
CacheJson = Annotated[bool, typer.Option("--json", help="Print one JSON object, as into a pipe.")]


@cache_app.command("ls")
def cache_ls(cache_dir: CacheDir = None, as_json: CacheJson = False) -> None:
    """List what is kept: model, tokens, size, last use."""
    from edge_llm.cli import cache as command

    command.list_snapshots(cache_dir, as_json=as_json)


@cache_app.command("stats")
def cache_stats(cache_dir: CacheDir = None, as_json: CacheJson = False) -> None:
    """Sum up what is kept and what was written today."""
    from edge_llm.cli import cache as command

    command.print_stats(cache_dir, as_json=as_json)


@cache_app.command("clear")
def cache_clear(
    cache_dir: CacheDir = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    as_json: CacheJson = False,
) -> None:
    """Remove all of it."""
    from edge_llm.cli import cache as command

    command.clear_cache(cache_dir, yes=yes, as_json=as_json)


deferred_app = typer.Typer(
    help="Requests that wait for the network, and their answers.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

ConfigFile = Annotated[str | None, typer.Option("--config", help="A TOML file of options.")]
DeferredId = Annotated[str, typer.Argument(help="As `edge-llm deferred ls` shows it.")]


@deferred_app.command("ls")
def deferred_ls(config: ConfigFile = None, as_json: CacheJson = False) -> None:
    """List them: state, since when, attempts; no texts."""
    from edge_llm.cli import state as command

    command.list_deferred(config, as_json=as_json)


@deferred_app.command("show")
def deferred_show(
    request_id: DeferredId, config: ConfigFile = None, as_json: CacheJson = False
) -> None:
    """Show one with what was asked and answered; it is not delivered by that."""
    from edge_llm.cli import state as command

    command.show_deferred(request_id, config, as_json=as_json)


@deferred_app.command("cancel")
def deferred_cancel(request_id: DeferredId, config: ConfigFile = None) -> None:
    """Cancel one that has no answer yet."""
    from edge_llm.cli import state as command

    command.cancel_deferred(request_id, config)


@deferred_app.command("forget")
def deferred_forget(request_id: DeferredId, config: ConfigFile = None) -> None:
    """Remove one that has ended, its texts included."""
    from edge_llm.cli import state as command

    command.forget_deferred(request_id, config)


def budget(config: ConfigFile = None, as_json: CacheJson = False) -> None:
    """Say what was spent elsewhere, what is held and what is left."""
    from edge_llm.cli import state as command

    command.print_budget(config, as_json=as_json)


def stats(config: ConfigFile = None, as_json: CacheJson = False) -> None:
    """Compare the arms of a running comparison, and what shadow requests found."""
    from edge_llm.cli import stats as command

    command.print_stats(config, as_json=as_json)
