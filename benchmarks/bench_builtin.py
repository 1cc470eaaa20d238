"""What the built-in model gets right, and whether it knows when it does not.

Runs the shipped files through the runtime: its template, its engine, its parser. Every sentence is
drawn from the grammar with another seed than training; `test` lines are those that training never
has, and `unseen` names are of words and syllables that it never has. With `--data DIR` also the
SNIPS requests in `snips_utterances.jsonl`, none of which is about a home. Intervals are 95 %.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from benchmarks.builtin_plots import draw_coverage, draw_reliability
from benchmarks.report import Figure, report
from edge_llm.hub.packaged import models_folder
from scripts.builtin.evaluate import (
    SUITES,
    Asked,
    Case,
    Examiner,
    Reply,
    auroc,
    draw_cases,
    run_suite,
    to_asked,
)

FOLDER = models_folder() / "builtin"
Q8_0 = FOLDER / "edge-llm-builtin-q8_0.gguf"
F16 = FOLDER / "edge-llm-builtin-f16.gguf"
ONNX = FOLDER / "onnx"
COMPARED = ("test patterns", "unseen names")
GOALS = {
    "test patterns": 0.92,
    "test patterns, 15 % word errors": 0.70,
    "two commands": 0.85,
    "three commands": 0.85,
}
HARD = "hard_negatives"
NUM_TIMED = 40


def main() -> None:
    """Measure, print the tables, and end with one JSON object."""
    arguments = parse_args()
    count = arguments.count or (60 if arguments.quick else 1000)
    examiner = Examiner(str(arguments.model or Q8_0))
    suites = {
        name: _run(examiner, name, count // (2 if arguments.quick else 1), arguments.seed)
        for name in SUITES
    }
    figures = {**_accuracy(suites), **_knowing(suites), **_speed(examiner)}
    skipped: dict[str, str] = {}
    if arguments.data:
        figures |= _snips(examiner, suites["test patterns"], arguments.data)
    else:
        skipped["snips"] = "no --data"
    examiner.close()
    if arguments.quick:
        skipped["formats"] = "--quick: four models take longer"
    else:
        figures |= _formats(count, arguments.seed)
    if arguments.plots:
        draw_reliability(_mixture(suites), arguments.plots / "reliability.svg")
        draw_coverage(_mixture(suites), arguments.plots / "coverage.svg")
    _show_failures(suites)
    report("builtin", figures, ("llama-cpp-python", "onnxruntime"), skipped)


def parse_args() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--quick", action="store_true", help="finish within 45 seconds")
    parser.add_argument("--data", type=Path, help="folder with snips_utterances.jsonl")
    parser.add_argument("--count", type=int, help="conversations of each suite")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--model", type=Path, help="another model than the shipped one")
    parser.add_argument("--plots", type=Path, help="folder for the diagrams")
    return parser.parse_args()


def _run(examiner: Examiner, name: str, count: int, seed: int) -> list[Case]:
    started = time.monotonic()
    cases = run_suite(examiner, SUITES[name], count, seed)
    right = sum(case.is_right for case in cases)
    taken = time.monotonic() - started
    print(f"{name}: {right} of {len(cases)} right, {taken:.0f} s", file=sys.stderr, flush=True)
    return cases


def _accuracy(suites: dict[str, list[Case]]) -> dict[str, Figure]:
    """The share of turns that are right in every slot, and what of them is merely valid."""
    figures = {
        f"{name}: exact": _share([case.is_right for case in cases], GOALS.get(name))
        for name, cases in suites.items()
    }
    figures["unseen names: copied"] = _share(
        [case.has_copied for case in suites["unseen names"]], 0.97
    )
    several = [*suites["two commands"], *suites["three commands"]]
    figures["two and three commands: exact"] = _share([c.is_right for c in several], 0.85)
    everything = [case for cases in suites.values() for case in cases]
    figures["valid"] = _share([case.is_valid for case in everything], 0.995)
    return figures


def _knowing(suites: dict[str, list[Case]]) -> dict[str, Figure]:
    """How well the first token tells home from elsewhere, and scores tell right from wrong."""
    home = [case.reply.unsure for case in suites["test patterns"]]
    refused = suites["out of scope, test lines"]
    hard = [case.reply.unsure for case in refused if case.conversation.topic == HARD]
    commands = [*suites["test patterns"], *suites["test patterns, 15 % word errors"]]
    right = [case.reply for case in commands if case.is_right]
    wrong = [case.reply for case in commands if not case.is_right]
    return {
        "home against out of scope: AUROC": _auroc([c.reply.unsure for c in refused], home, 0.985),
        "home against hard negatives: AUROC": _auroc(hard, home, 0.985),
        "wrong against right, first token: AUROC": _auroc(
            [reply.unsure for reply in wrong], [reply.unsure for reply in right], None
        ),
        "wrong against right, least likely token: AUROC": _auroc(
            [-reply.min_logprob for reply in wrong], [-reply.min_logprob for reply in right], 0.85
        ),
    }


def _snips(examiner: Examiner, home: Sequence[Case], data: Path) -> dict[str, Figure]:
    """The same against requests that other people wrote, even lines and odd lines apart."""
    lines = (data / "snips_utterances.jsonl").read_text(encoding="utf-8").splitlines()
    records = [json.loads(line) for line in lines]
    asked = [Asked([{"role": "user", "content": record["text"]}]) for record in records]
    unsure = [reply.unsure for reply in examiner.ask(asked)]
    known = [case.reply.unsure for case in home]
    figures = {
        "home against SNIPS: AUROC": _auroc(unsure, known, 0.985),
        "home against SNIPS, even lines: AUROC": _auroc(unsure[::2], known, None),
        "home against SNIPS, odd lines: AUROC": _auroc(unsure[1::2], known, None),
    }
    for intent in sorted({record["intent"] for record in records}):
        some = [u for u, record in zip(unsure, records, strict=True) if record["intent"] == intent]
        figures[f"home against SNIPS {intent}: AUROC"] = _auroc(some, known, None)
    return figures


def _speed(examiner: Examiner) -> dict[str, Figure]:
    """One command at a time on one core: to the first token, to the end, tokens a second."""
    drawn = draw_cases(SUITES["test patterns"], NUM_TIMED, 99)
    first, whole, rates = [], [], []
    for conversation in drawn:
        timed = examiner.time(to_asked(conversation))
        first.append(1000 * timed.first_s)
        whole.append(1000 * timed.whole_s)
        if timed.num_tokens > 1:
            rates.append((timed.num_tokens - 1) / (timed.whole_s - timed.first_s))
    return {
        "first token, one core": _median(first, "ms"),
        "full command, one core": _median(whole, "ms"),
        "decode, one core": _median(rates, "tokens/s"),
    }


def _formats(count: int, seed: int) -> dict[str, Figure]:
    """Exact answers lost by quantising: Q8_0 against F16, and 8-bit ONNX against float32."""
    from scripts.builtin.export_onnx import write_folder
    from scripts.builtin.gguf_copy import read_gguf

    with tempfile.TemporaryDirectory() as folder:
        float_onnx = write_folder(read_gguf(F16), Path(folder))
        forms = {"Q8_0": Q8_0, "F16": F16, "int8 ONNX": ONNX, "float32 ONNX": float_onnx}
        right = {name: _count_right(path, count, seed) for name, path in forms.items()}
    total = count * len(COMPARED)
    figures = {
        f"{name}: exact": Figure(n / total, "share", spread=_half_width(n / total, total))
        for name, n in right.items()
    }
    for small, large in (("Q8_0", "F16"), ("int8 ONNX", "float32 ONNX")):
        lost = 100 * (right[large] - right[small]) / total
        figures[f"{small} against {large}: lost"] = Figure(lost, "points", 0.5, met=lost <= 0.5)
    return figures


def _count_right(path: Path, count: int, seed: int) -> int:
    examiner = Examiner(str(path))
    cases = [case for name in COMPARED for case in run_suite(examiner, SUITES[name], count, seed)]
    examiner.close()
    return sum(case.is_right for case in cases)


def _mixture(suites: dict[str, list[Case]]) -> list[tuple[Reply, bool]]:
    """Commands and out-of-scope sentences in equal numbers, with whether the local answer serves.

    An answer to what the model is not for never serves, not even when it says that it is unsure.
    """
    home = [*suites["test patterns"], *suites["test patterns, 15 % word errors"]]
    refused = suites["out of scope, test lines"]
    size = min(len(home), 2 * len(refused)) // 2
    return [(c.reply, c.is_right) for c in home[: 2 * size : 2]] + [
        (c.reply, False) for c in refused[:size]
    ]


def _show_failures(suites: dict[str, list[Case]]) -> None:
    """Which intents fail most: there the grammar is to be widened."""
    for name, cases in suites.items():
        total = Counter(case.conversation.topic for case in cases)
        wrong = Counter(case.conversation.topic for case in cases if not case.is_right)
        worst = ", ".join(f"{topic or '-'} {n}/{total[topic]}" for topic, n in wrong.most_common(6))
        print(f"{name}: wrong: {worst or 'none'}", file=sys.stderr)
        for case in [case for case in cases if not case.is_right][:4]:
            print(f"    {case.asked!r} -> {case.reply.calls} {case.reply.text!r}", file=sys.stderr)


def _share(right: Sequence[bool], goal: float | None) -> Figure:
    value = sum(right) / max(1, len(right))
    met = None if goal is None else value >= goal
    return Figure(value, "share", goal, met=met, spread=_half_width(value, len(right)))


def _half_width(share: float, count: int) -> float:
    """Half the width of the Wilson interval. Source: Wilson, 1927."""
    z = 1.96
    n = max(1, count)
    return z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))


def _auroc(higher: Sequence[float], lower: Sequence[float], goal: float | None) -> Figure:
    value = auroc(higher, lower)
    # Source: Hanley and McNeil, 1982, the standard error of the area.
    q1, q2 = value / (2 - value), 2 * value * value / (1 + value)
    n, m = max(1, len(higher)), max(1, len(lower))
    variance = value * (1 - value) + (n - 1) * (q1 - value**2) + (m - 1) * (q2 - value**2)
    spread = 1.96 * math.sqrt(max(0.0, variance) / (n * m))
    return Figure(value, "AUROC", goal, met=None if goal is None else value >= goal, spread=spread)


def _median(values: Sequence[float], unit: str) -> Figure:
    ordered = sorted(values)
    quarter = len(ordered) // 4
    spread = (ordered[-1 - quarter] - ordered[quarter]) / 2
    return Figure(ordered[len(ordered) // 2], unit, spread=spread)


if __name__ == "__main__":
    main()
