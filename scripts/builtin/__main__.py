"""Command line of the built-in model: samples, training, exports, their checks, card and set."""

from __future__ import annotations

import argparse
from pathlib import Path

DEFAULT_RUN_DIR = Path("build/builtin")
DEFAULT_MODEL = Path("models/builtin/edge-llm-builtin-q8_0.gguf")
DEFAULT_HALF = Path("models/builtin/edge-llm-builtin-f16.gguf")
DEFAULT_ONNX = Path("models/builtin/onnx")
DEFAULT_SET = Path("models/builtin/evaluation.jsonl")
SHIPPED_SENTENCES = 201
COMMANDS = (
    *("sample", "train", "export", "export-onnx", "check", "check-onnx", "evaluate", "card"),
    "evaluation-set",
)


def main() -> None:
    """Runs the command named on the command line."""
    args = _parse_args()
    # Imported here: training needs torch, evaluation llama.cpp or onnxruntime; none needs another.
    if args.command == "sample":
        from scripts.builtin.sample import print_samples

        print_samples(args.intent, count=args.count, seed=args.seed)
    elif args.command == "train":
        from scripts.builtin.train import TrainConfig, train

        train(
            TrainConfig(
                run_dir=args.run_dir, seed=args.seed, minutes=args.minutes, threads=args.threads
            )
        )
    elif args.command == "export":
        from gguf import GGMLQuantizationType

        from scripts.builtin.export import export_gguf

        export_gguf(args.run_dir, args.model)
        export_gguf(args.run_dir, args.half, GGMLQuantizationType.F16)
    elif args.command == "export-onnx":
        from scripts.builtin.export_onnx import export_onnx

        export_onnx(args.model, args.onnx, args.run_dir / "onnx-float32")
    elif args.command == "check-onnx":
        from scripts.builtin.check_onnx import check_onnx

        check_onnx(args.model, args.onnx, args.run_dir, count=args.count)
    elif args.command == "check":
        from scripts.builtin.check import check_export

        check_export(args.run_dir, args.model)
    elif args.command == "evaluation-set":
        from scripts.builtin.evaluation_set import write_evaluation_set

        write_evaluation_set(args.set, SHIPPED_SENTENCES)
    elif args.command == "card":
        from scripts.builtin.card import write_card

        write_card(args.result, args.run_dir, args.model.parent / "CARD.md")
    else:
        from scripts.builtin.evaluate import evaluate

        evaluate(args.model, count=args.count, seed=args.seed)


def _parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="train-builtin", description=__doc__)
    parser.add_argument("command", choices=COMMANDS)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--minutes", type=float, default=15.0, help="time of training")
    parser.add_argument("--intent", default="", help="sample: only the patterns of this intent")
    parser.add_argument("--threads", type=int, default=1, help="threads of training")
    parser.add_argument("--run-dir", type=Path, default=DEFAULT_RUN_DIR)
    parser.add_argument("--model", type=Path, default=DEFAULT_MODEL)
    parser.add_argument("--half", type=Path, default=DEFAULT_HALF, help="the F16 form")
    parser.add_argument("--onnx", type=Path, default=DEFAULT_ONNX, help="folder of the ONNX form")
    parser.add_argument("--set", type=Path, default=DEFAULT_SET, help="the shipped sentences")
    parser.add_argument("--result", type=Path, help="card: what the benchmark printed")
    parser.add_argument("--count", type=int, default=1000, help="conversations per test")
    return parser.parse_args()


if __name__ == "__main__":
    main()
