"""Command line of `scripts/export-onnx`."""

from __future__ import annotations

import argparse
import json
import math
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from edge_llm.errors import EdgeLLMError, QuantizationRefusedError
from edge_llm.hub.onnx import check_runnable, read_decoder, read_onnx
from edge_llm.quantize.place import check_target, put_in_place, scratch_folder
from edge_llm.quantize.sample import SAMPLE_TEXT
from scripts.export.convert import check_checkpoint, convert
from scripts.export.verify import compare_with_checkpoint

MAX_KL = 1e-4
"""Nats a token: both compute in float32, so more than this is another model."""


def main() -> int:
    """Export, compare, print one line of JSON; 0 when the folder is there."""
    args = _parse_args()
    try:
        record = export(args)
    except EdgeLLMError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(json.dumps(record, ensure_ascii=False))
    return 0


def export(args: argparse.Namespace) -> dict[str, Any]:
    """What was written, and how far it is from the checkpoint.

    Raises:
        EdgeLLMError: it cannot be exported, or computes something else; nothing was replaced.
    """
    text = args.text.read_text(encoding="utf-8") if args.text else SAMPLE_TEXT
    check_checkpoint(args.checkpoint)
    target = args.folder.absolute()
    check_target(target, replace=args.replace)
    weights = sum(path.stat().st_size for path in args.checkpoint.glob("*.safetensors"))
    # Half floats become float32, and the exporter keeps a copy while it puts the parts together.
    with scratch_folder(target, 4 * weights) as scratch:
        graph = convert(args.checkpoint, scratch)
        file = read_onnx(graph)
        check_runnable(file)
        read_decoder(file)
        comparison = compare_with_checkpoint(
            args.checkpoint, graph, text, max_tokens=args.max_tokens
        )
        if not comparison.kl_divergence <= MAX_KL or not math.isfinite(comparison.kl_divergence):
            raise QuantizationRefusedError(
                f"the graph computes something else: {comparison.kl_divergence:.3g} nats a token"
            )
        num_bytes = sum(path.stat().st_size for path in scratch.iterdir())
        put_in_place(scratch, target)
    record = asdict(comparison)
    del record["source_speed"]  # torch's, which nobody asked for
    return {"target": str(target), "bytes": num_bytes, **record}


def _parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="export-onnx", description=__doc__)
    parser.add_argument("checkpoint", type=Path, help="folder of a transformers checkpoint")
    parser.add_argument("folder", type=Path, help="where the ONNX model shall be")
    parser.add_argument("--text", type=Path, help="a text file to compare on")
    parser.add_argument("--max-tokens", type=int, default=1024)
    parser.add_argument("--replace", action="store_true", help="replace the folder if it is there")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
