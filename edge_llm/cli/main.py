"""The `edge-llm` command: options and exit codes. Each command's work is in a module of its own.

`edge-llm --help` must stay under 150 ms, so only typer is imported here.
"""

from __future__ import annotations

import sys
from typing import Annotated, Any

import typer

import edge_llm
from edge_llm.cli.evaluating import calibrate, evaluate
from edge_llm.cli.files import quantize, redact
from edge_llm.cli.form_options import Choices, GrammarFile, JSONSchemaFile, Regex, form_options
from edge_llm.cli.kept import budget, cache_app, deferred_app, stats
from edge_llm.cli.machine import doctor, report
from edge_llm.cli.models import models_app, pull
from edge_llm.cli.options import (
    ContextSize,
    CPUFallback,
    Device,
    KVCacheType,
    ProviderName,
    ProviderOptions,
    read_context_size,
    read_options,
)
from edge_llm.cli.tool_options import Choice, Parallel, ThinkingBudget, ToolsFile, tool_options
from edge_llm.cli.voice import voice
from edge_llm.errors import (
    ConfigError,
    EdgeLLMError,
    GrammarError,
    InvalidParameterError,
    ModelError,
)

EXIT_USAGE = 2
EXIT_MODEL = 3
EXIT_RUNTIME = 4

app = typer.Typer(
    name="edge-llm",
    help="Small language models on this machine, with a record for every answer.",
    epilog="Exit codes: 0 answered, 2 wrong usage, 3 model not usable, 4 runtime error.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"edge-llm {edge_llm.__version__}")
        raise typer.Exit


@app.callback()
def _global_options(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version."
        ),
    ] = False,
) -> None:
    pass


@app.command()
def chat(  # noqa: PLR0913 — one parameter is one option of the command line
    prompt: Annotated[
        str | None,
        typer.Argument(help="What to ask; '-' reads standard input; left out, a conversation."),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            "--model",
            "-m",
            metavar="REF",
            help="'builtin', a path, or a pulled model: 'qwen3-0.6b', 'hf:owner/repo:Q4_K_M'.",
        ),
    ] = None,
    system: Annotated[str | None, typer.Option("--system", "-s", help="System prompt.")] = None,
    max_tokens: Annotated[
        int | None, typer.Option("--max-tokens", "-n", help="Longest answer, in tokens.")
    ] = None,
    temperature: Annotated[
        float | None, typer.Option("--temperature", "-t", help="0 is always the likeliest.")
    ] = None,
    top_p: Annotated[
        float | None, typer.Option("--top-p", help="Share of probability to choose from.")
    ] = None,
    seed: Annotated[
        int | None, typer.Option("--seed", help="The same seed gives the same answer.")
    ] = None,
    context_size: ContextSize = None,
    kv_cache_type: KVCacheType = None,
    threads: Annotated[
        int | None,
        typer.Option("--threads", help="Compute threads, instead of the fastest number."),
    ] = None,
    prefill_threads: Annotated[
        int | None, typer.Option("--prefill-threads", help="The same for reading prompts alone.")
    ] = None,
    reserve_cores: Annotated[
        int | None, typer.Option("--reserve-cores", help="Cores to leave to other programs.")
    ] = None,
    device: Device = None,
    provider: ProviderName = None,
    provider_option: ProviderOptions = None,
    cpu_fallback: CPUFallback = None,
    worker: Annotated[
        bool | None,
        typer.Option("--worker/--no-worker", help="Run the engine in a process of its own."),
    ] = None,
    keep_alive: Annotated[
        float | None,
        typer.Option("--keep-alive", help="Unload the model after so many idle seconds."),
    ] = None,
    chat_template: Annotated[
        str | None,
        typer.Option("--chat-template", help="A Jinja file in place of the model's own template."),
    ] = None,
    overflow: Annotated[
        str | None,
        typer.Option(
            "--overflow",
            help="When it no longer fits: 'error' or 'drop_oldest' (as in a conversation).",
        ),
    ] = None,
    config: Annotated[
        str | None,
        typer.Option("--config", help="A TOML file of options, with tiers if there are any."),
    ] = None,
    cloud_url: Annotated[
        str | None,
        typer.Option("--cloud-url", help="An OpenAI-compatible address as one more tier."),
    ] = None,
    cloud_model: Annotated[
        str | None, typer.Option("--cloud-model", help="The model there.")
    ] = None,
    cloud_key_env: Annotated[
        str | None,
        typer.Option("--cloud-key-env", metavar="NAME", help="The variable that holds its key."),
    ] = None,
    privacy: Annotated[
        str | None,
        typer.Option("--privacy", help="What may leave: 'local_only', 'redact' or 'allow'."),
    ] = None,
    calibration: Annotated[
        str | None,
        typer.Option(
            "--calibration", metavar="FILE|MODE", help="A file, or 'auto', 'required' or 'off'."
        ),
    ] = None,
    hold: Annotated[
        str | None,
        typer.Option("--hold", help="Held back until certain: none, window(n), sentence, full."),
    ] = None,
    on_doubt: Annotated[
        str | None,
        typer.Option("--on-doubt", help="defer, race, draft_and_refine, verify or continue."),
    ] = None,
    deadline: Annotated[
        float | None, typer.Option("--deadline", help="Seconds that the answer may take.")
    ] = None,
    tag: Annotated[
        list[str] | None, typer.Option("--tag", help="A name of the task; may repeat.")
    ] = None,
    json_schema: JSONSchemaFile = None,
    regex: Regex = None,
    choices: Choices = None,
    grammar: GrammarFile = None,
    tools: ToolsFile = None,
    tool_choice: Choice = None,
    parallel_tool_calls: Parallel = None,
    thinking_budget: ThinkingBudget = None,
    explain: Annotated[
        bool, typer.Option("--explain", help="Say afterwards who answered, why, at what cost.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the whole record as one JSON object.")
    ] = False,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Log to standard error.")
    ] = False,
) -> None:
    """Ask the model: once, from standard input, or in a conversation."""
    from edge_llm.cli import chat as command

    load_options: dict[str, Any] = {
        "context_size": read_context_size(context_size),
        "kv_cache_type": kv_cache_type,
        "threads": threads,
        "device": device,
        "provider": provider,
        "provider_options": read_options(provider_option),
        "cpu_fallback": cpu_fallback,
        "worker": worker,
        "keep_alive": keep_alive,
        "prefill_threads": prefill_threads,
        "reserve_cores": reserve_cores,
        "chat_template": chat_template,
        "overflow": overflow,
        "config_file": config,
        "cloud_url": cloud_url,
        "cloud_model": cloud_model,
        "cloud_key_env": cloud_key_env,
        "confidence": None if calibration is None else {"calibration": calibration},
    }
    request_options: dict[str, Any] = {
        "privacy": privacy,
        "hold": hold,
        "on_doubt": on_doubt,
        "deadline_s": deadline,
        "tags": tag,
        "max_tokens": max_tokens,
        "temperature": temperature,
        "top_p": top_p,
        "seed": seed,
        "system": system,
        "thinking_budget": thinking_budget,
        **form_options(json_schema, regex, choices, grammar),
        **tool_options(tools, tool_choice, parallel_tool_calls),
    }
    command.run(
        prompt,
        model=model,
        load_options={k: v for k, v in load_options.items() if v is not None},
        request_options={k: v for k, v in request_options.items() if v is not None},
        as_json=as_json,
        verbose=verbose,
        explains=explain,
    )


@app.command()
def demo(
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the records as one JSON list.")
    ] = False,
) -> None:
    """Show a request that stays here and one that goes up; no network, no key."""
    from edge_llm.cli import demo as command

    command.run(as_json=as_json)


@app.command()
def inspect(  # noqa: PLR0913 — one parameter is one option of the command line
    model: Annotated[
        str | None,
        typer.Argument(
            metavar="REF", help="'builtin', a path, or a model that was pulled or is on the hub."
        ),
    ] = None,
    load: Annotated[
        bool, typer.Option("--load", help="Load it too, and say what runs where.")
    ] = False,
    context_size: ContextSize = None,
    kv_cache_type: KVCacheType = None,
    device: Device = None,
    provider: ProviderName = None,
    provider_option: ProviderOptions = None,
    cpu_fallback: CPUFallback = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object, as into a pipe.")
    ] = False,
) -> None:
    """Say what a model is, what it needs here and what protects its turns."""
    from edge_llm.cli import inspect as command

    options: dict[str, Any] = {
        "context_size": read_context_size(context_size),
        "kv_cache_type": kv_cache_type,
        "device": device,
        "provider": provider,
        "provider_options": read_options(provider_option),
        "cpu_fallback": cpu_fallback,
    }
    command.run(model, options, load=load, as_json=as_json)


app.command()(quantize)
app.command()(pull)
app.add_typer(models_app, name="models")
app.command()(doctor)
app.command()(report)
app.command()(voice)
app.command()(redact)


@app.command()
def serve(
    model: Annotated[
        str | None,
        typer.Option("--model", "-m", help="'builtin', or the path of a GGUF or ONNX model."),
    ] = None,
    host: Annotated[
        str, typer.Option("--host", help="The address to listen on; else this machine only.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", "-p", help="0 takes any that is free.")] = 11500,
    context_size: ContextSize = None,
    worker: Annotated[
        bool | None,
        typer.Option("--worker/--no-worker", help="Run the engine in a process of its own."),
    ] = None,
) -> None:
    """Serve the OpenAI API over one loaded model, for edge_llm.connect() and other clients."""
    from edge_llm.cli import serve as command

    options: dict[str, Any] = {
        "context_size": read_context_size(context_size),
        "worker": worker,
    }
    given = {k: v for k, v in options.items() if v is not None}
    command.run(model, given, host=host, port=port)


app.add_typer(cache_app, name="cache")
app.add_typer(deferred_app, name="deferred")
app.command()(budget)
app.command()(stats)
app.command()(calibrate)
app.command()(evaluate)


def main() -> None:
    """Run the command line and exit with its code.

    Typer itself exits with 130 on Ctrl-C and with 1 when the reader of the output has left.
    """
    try:
        app()
    except EdgeLLMError as error:
        print(f"error: {error.message}", file=sys.stderr)
        if error.hint:
            print(f"hint: {error.hint}", file=sys.stderr)
        sys.exit(exit_code(error))


def exit_code(error: EdgeLLMError) -> int:
    """The exit code that tells a script what kind of error this was."""
    if isinstance(error, ConfigError | GrammarError | InvalidParameterError):
        return EXIT_USAGE
    if isinstance(error, ModelError):
        return EXIT_MODEL
    return EXIT_RUNTIME
