"""Command line of the built-in model and of models like it for other domains."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

from scripts.builtin.domain import HOME, Domain, load_domain

BUILTIN = Path("models/builtin")
"""Where the model of the home goes; those of other domains stay in their run's folder."""
SHIPPED_CASES = 201


def main() -> None:
    """Runs the command named on the command line."""
    args = _parse_args()
    try:
        domain = load_domain(args.domain)
        _COMMANDS[args.command](_name_files(args, domain), domain)
    except ValueError as error:
        sys.exit(f"{args.command}: {error}")


# Each imports what it needs itself: training needs torch, evaluation llama.cpp or onnxruntime; none
# needs another.


def _sample(args: argparse.Namespace, domain: Domain) -> None:
    from scripts.builtin.sample import print_samples

    print_samples(domain, args.intent, count=args.count, seed=args.seed)


def _proofread(_: argparse.Namespace, domain: Domain) -> None:
    from scripts.builtin.proofread import proofread

    proofread(domain)


def _train(args: argparse.Namespace, _: Domain) -> None:
    from scripts.builtin.train import TrainConfig, train

    train(
        TrainConfig(
            run_dir=args.run_dir,
            domain=args.domain,
            seed=args.seed,
            minutes=args.minutes,
            threads=args.threads,
            start_from=args.start_from,
            learning_rate=args.learning_rate,
        )
    )


def _export(args: argparse.Namespace, domain: Domain) -> None:
    from gguf import GGMLQuantizationType

    from scripts.builtin.export import export_gguf

    export_gguf(args.run_dir, args.model, domain.about)
    export_gguf(args.run_dir, args.half, domain.about, GGMLQuantizationType.F16)


def _export_onnx(args: argparse.Namespace, domain: Domain) -> None:
    from scripts.builtin.export_onnx import export_onnx

    export_onnx(args.model, args.onnx, args.run_dir / "onnx-float32", domain)


def _check(args: argparse.Namespace, domain: Domain) -> None:
    from scripts.builtin.check import check_export

    check_export(args.run_dir, args.model, domain)


def _check_onnx(args: argparse.Namespace, domain: Domain) -> None:
    from scripts.builtin.check_onnx import check_onnx

    check_onnx(args.model, args.onnx, args.run_dir, domain, count=args.count)


def _evaluate(args: argparse.Namespace, domain: Domain) -> None:
    from scripts.builtin.evaluate import evaluate

    evaluate(args.model, domain, count=args.count, seed=args.seed)


def _card(args: argparse.Namespace, _: Domain) -> None:
    from scripts.builtin.card import write_card

    write_card(args.result, args.run_dir, BUILTIN / "CARD.md")


def _evaluation_set(_: argparse.Namespace, __: Domain) -> None:
    from scripts.builtin.evaluation_set import write_evaluation_set

    write_evaluation_set(BUILTIN / "evaluation.jsonl", SHIPPED_CASES)


_COMMANDS: dict[str, Callable[[argparse.Namespace, Domain], None]] = {
    "sample": _sample,
    "proofread": _proofread,
    "train": _train,
    "export": _export,
    "export-onnx": _export_onnx,
    "check": _check,
    "check-onnx": _check_onnx,
    "evaluate": _evaluate,
    "card": _card,
    "evaluation-set": _evaluation_set,
}


def _parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="train-builtin", description=__doc__)
    parser.add_argument("command", choices=_COMMANDS)
    parser.add_argument("--domain", type=Path, default=HOME, help="folder of texts; README.md")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--minutes", type=float, default=15.0, help="time of training")
    parser.add_argument("--intent", default="", help="sample: only the patterns of this intent")
    parser.add_argument("--threads", type=int, default=1, help="threads of training")
    parser.add_argument("--learning-rate", type=float, default=3e-3, help="the highest")
    parser.add_argument("--start-from", type=Path, help="train: begin with this run's weights")
    parser.add_argument("--run-dir", type=Path, help="state of training (build/NAME)")
    parser.add_argument("--model", type=Path, help="the Q8_0 form")
    parser.add_argument("--half", type=Path, help="the F16 form")
    parser.add_argument("--onnx", type=Path, help="folder of the ONNX form")
    parser.add_argument("--result", type=Path, help="card: what the benchmark printed")
    parser.add_argument("--count", type=int, default=1000, help="conversations per test")
    return parser.parse_args()


def _name_files(args: argparse.Namespace, domain: Domain) -> argparse.Namespace:
    """`args` with a path for each file that was not given one."""
    is_home = args.domain.resolve() == HOME
    name = domain.about.name
    args.run_dir = args.run_dir or Path("build") / ("builtin" if is_home else name)
    folder = BUILTIN if is_home else args.run_dir
    args.model = args.model or folder / f"{name}-q8_0.gguf"
    args.half = args.half or folder / f"{name}-f16.gguf"
    args.onnx = args.onnx or folder / "onnx"
    return args


if __name__ == "__main__":
    main()
