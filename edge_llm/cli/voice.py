"""`edge-llm voice`: options only. Its work is in `voice_run`.

Only typer is imported here, because `edge-llm --help` must stay fast.
"""

from __future__ import annotations

from typing import Annotated, Any

import typer

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


def voice(  # noqa: PLR0913 — one parameter is one option of the command line
    model: Annotated[
        str | None,
        typer.Option(
            "--model",
            "-m",
            metavar="REF",
            help="'builtin', a path, or a pulled model: 'qwen3-0.6b', 'hf:owner/repo:Q4_K_M'.",
        ),
    ] = None,
    uri: Annotated[
        str, typer.Option("--uri", help="tcp://host:port, unix:///path or stdio://.")
    ] = "tcp://127.0.0.1:10400",
    allow_remote: Annotated[
        bool,
        typer.Option(
            "--allow-remote",
            help="Listen where other machines can ask; Wyoming knows no passwords.",
        ),
    ] = False,
    zeroconf: Annotated[
        str | None,
        typer.Option("--zeroconf", metavar="NAME", help="Announce it in the network by this name."),
    ] = None,
    intents: Annotated[
        str,
        typer.Option(
            "--intents",
            help="Home commands: 'own' calls of the model, 'offered' as tools, 'none', or 'auto'.",
        ),
    ] = "auto",
    language: Annotated[
        list[str] | None,
        typer.Option("--language", help="What is advertised, as 'en'; may repeat; else any."),
    ] = None,
    area: Annotated[
        list[str] | None,
        typer.Option(
            "--area", metavar="ID=AREA", help="Where a satellite or device stands; may repeat."
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
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Log to standard error, no texts.")
    ] = False,
) -> None:
    """Answer a voice assistant: Wyoming, as Home Assistant speaks it."""
    from edge_llm.cli import voice_run as command

    load_options: dict[str, Any] = {
        "context_size": read_context_size(context_size),
        "kv_cache_type": kv_cache_type,
        "threads": threads,
        "prefill_threads": prefill_threads,
        "reserve_cores": reserve_cores,
        "device": device,
        "provider": provider,
        "provider_options": read_options(provider_option),
        "cpu_fallback": cpu_fallback,
        "worker": worker,
        "keep_alive": keep_alive,
        "chat_template": chat_template,
        "config_file": config,
        "cloud_url": cloud_url,
        "cloud_model": cloud_model,
        "cloud_key_env": cloud_key_env,
    }
    request_options: dict[str, Any] = {
        "system": system,
        "max_tokens": max_tokens,
        "temperature": temperature,
        "top_p": top_p,
        "seed": seed,
        "privacy": privacy,
        "hold": hold,
        "on_doubt": on_doubt,
        "deadline_s": deadline,
    }
    command.run(
        model,
        command.VoiceOptions(
            uri=uri,
            allow_remote=allow_remote,
            zeroconf=zeroconf,
            intents=intents,
            languages=tuple(language) if language else None,
            areas=tuple(area or ()),
            verbose=verbose,
        ),
        load_options={k: v for k, v in load_options.items() if v is not None},
        request_options={k: v for k, v in request_options.items() if v is not None},
    )
