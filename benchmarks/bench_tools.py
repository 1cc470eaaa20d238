"""Tool calls and JSON under constraints: speed, validity and cost, llama-server in the same run.

Decoding reads all weights once for every token, so a constraint pays in two ways: tokens that the
grammar forces go through the model together, as a prompt does, and white space that nobody needs is
never written. It costs a mask over the vocabulary for every token that is chosen. Parts, which
`--parts` picks:

    call      a tool call end to end on a random model in Qwen2 0.5B's shape with Qwen2's own
              vocabulary, and on the built-in one, against llama-server (`tools_speed`)
    decode    tokens per second under masks that force nothing, to our own free text
    masks     compiling generated and hostile schemas; a mask and the choice under it; forced tokens
    validity  generated schemas on a random model at temperatures from 0 to 2 (`tools_campaign`)
    peer      the same schemas on llama-server
    builtin   exact commands of the built-in model with and without a grammar

llama-server is in the `bin` of the folder that EDGE_LLM_PEERS names, and Qwen2's vocabulary in its
`vocabularies`; without it, tokens are made up and there is no peer. Pin the whole to one core for
`--threads 1`: llama-server inherits it. `--quick` takes few rounds and schemas, and no peer.
`--data DIR` keeps the figures there as `tools.json`.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.peers import why_absent
from benchmarks.random_model import QWEN2_0_5B, QWEN2_TINY, Shape, cached_model
from benchmarks.report import Figure, figure, report, show
from benchmarks.tools_builtin import MODEL, exact_commands
from benchmarks.tools_builtin import forced_share as builtin_forced_share
from benchmarks.tools_campaign import our_validity, peer_validity
from benchmarks.tools_masks import compile_times, forced_share, hostile_costs, mask_times
from benchmarks.tools_speed import call_speed, masked_rate, our_call
from edge_llm.backends import load_backend
from edge_llm.config import EdgeConfig
from edge_llm.engine.engine import Engine
from tests.support.schema_campaign import TEMPERATURES

PARTS = ("call", "decode", "masks", "validity", "peer", "builtin")


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much is measured."""

    rounds: int
    schemas: int
    """Of the campaigns."""
    compiled: int
    walked: int
    commands: int
    """Of each suite of the built-in model."""
    temperatures: tuple[float, ...]


FULL = Sizes(10, 1000, 1000, 300, 600, TEMPERATURES)
QUICK = Sizes(2, 12, 42, 21, 8, (0.0, 2.0))


def main() -> None:
    """Measure, then print the table and the JSON line."""
    arguments = parse_args()
    # Leaves what was opened in order, llama-server too, when it is told to end.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    sizes = QUICK if arguments.quick else FULL
    skipped: dict[str, str] = {}
    figures: dict[str, Figure] = {}
    measures = _measures(sizes, arguments.threads, quick=arguments.quick, skipped=skipped)
    for part in arguments.parts:
        print(f"{part} …", file=sys.stderr, flush=True)
        if part in measures:
            found = measures[part]()
            show(found)
            figures |= found
    figures |= _fewer_refusals(figures)
    if arguments.data:
        kept = {name: asdict(one) for name, one in figures.items()}
        (arguments.data / "tools.json").write_text(json.dumps(kept, indent=1) + "\n")
    report("tools", figures, ("llguidance", "llama-cpp-python", "jsonschema"), skipped)


def parse_args() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--quick", action="store_true", help="finish within 45 seconds")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--data", type=Path, help="folder to keep the figures in")
    return parser.parse_args()


def _measures(
    sizes: Sizes, threads: int, *, quick: bool, skipped: dict[str, str]
) -> dict[str, Callable[[], dict[str, Figure]]]:
    absent = why_absent("llama-server")
    if quick:
        absent = "--quick"
    if absent:
        skipped |= {"peer": absent, "call against llama-server": absent}
        print(f"skipped llama-server: {absent}", file=sys.stderr)
    measures = {
        "call": lambda: _calls(sizes, threads, quick=quick, alone=bool(absent)),
        "decode": lambda: _decode(sizes, threads, quick=quick),
        "masks": lambda: _masks(sizes, quick=quick, skipped=skipped),
        "validity": lambda: our_validity(_tiny(), sizes.schemas, sizes.temperatures),
        "peer": lambda: peer_validity(_tiny(), sizes.schemas, threads),
        "builtin": lambda: _builtin(sizes),
    }
    if absent:
        del measures["peer"]
    return measures


def _calls(sizes: Sizes, threads: int, *, quick: bool, alone: bool) -> dict[str, Figure]:
    models = {"builtin": MODEL} if quick else {"qwen2-0.5b": _half_billion(), "builtin": MODEL}
    figures: dict[str, Figure] = {}
    for name, model in models.items():
        if alone:
            figures |= our_call(name, model, threads, sizes.rounds)
        else:
            # What the built-in model makes of another's schema is for nobody to wait for.
            figures |= call_speed(name, model, threads, sizes.rounds, 0 if model is MODEL else 3)
    return figures


def _decode(sizes: Sizes, threads: int, *, quick: bool) -> dict[str, Figure]:
    config = EdgeConfig(context_size=2048, threads=threads, max_num_seqs=2, cache_max_mb=0)
    engine = Engine(load_backend(_tiny() if quick else _half_billion(), config))
    figures = masked_rate(engine, sizes.rounds, has_goal=not quick)
    engine.close()
    return figures


def _masks(sizes: Sizes, *, quick: bool, skipped: dict[str, str]) -> dict[str, Figure]:
    backend = load_backend(_tiny(), EdgeConfig(context_size=256, threads=1))
    figures = compile_times(backend.tokenizer, sizes.compiled)
    figures |= mask_times(backend.tokenizer, sizes.walked)
    figures |= forced_share(backend.tokenizer)
    backend.close()
    if quick:
        skipped["hostile"] = "--quick"
        return figures
    return figures | hostile_costs()


def _builtin(sizes: Sizes) -> dict[str, Figure]:
    return exact_commands(sizes.commands, 0) | builtin_forced_share(min(sizes.commands, 100), 0)


def _fewer_refusals(figures: dict[str, Figure]) -> dict[str, Figure]:
    """Ours of all schemas, held against llama-server's."""
    ours = figures.get("validity.ours.refused_schemas")
    theirs = figures.get("validity.llama_server.refused_schemas")
    if ours is None or theirs is None:
        return {}
    return {
        "validity.refusals": figure(
            [ours.value], "schemas", goal=theirs.value, direction="at_most", peer=theirs.value
        )
    }


def _tiny() -> Path:
    return _model("qwen2-tiny-q4_0", QWEN2_TINY)


def _half_billion() -> Path:
    return _model("qwen2-0.5b-q4_0", QWEN2_0_5B)


def _model(name: str, shape: Shape) -> Path:
    folder = os.environ.get("EDGE_LLM_PEERS")
    vocabulary = Path(folder) / "vocabularies" / "ggml-vocab-qwen2.gguf" if folder else None
    if vocabulary is None or not vocabulary.is_file():
        return cached_model(name, shape)
    return cached_model(f"{name}-real-vocabulary", shape, vocabulary=vocabulary)


if __name__ == "__main__":
    main()
