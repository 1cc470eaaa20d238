"""Feeds damaged ONNX models and tokenizers to children, and says what became of each."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from tests.support.gguf_campaign import LoadChild, Verdict
from tests.support.onnx_files import (
    TinyOnnx,
    byte_level_tokenizer,
    sentencepiece_tokenizer,
    write_folder,
)
from tests.support.onnx_mutants import Mutant, json_mutants, onnx_mutants

LAYOUTS = {
    "grouped": TinyOnnx(layers=1),
    "grouped int4": TinyOnnx(layers=1, storage="int4"),
    "grouped half": TinyOnnx(layers=1, dtype="float16"),
    "growing": TinyOnnx(layers=1, grouped=False, position_ids=True),
    "merged": TinyOnnx(layers=1, grouped=False, merged=True),
}
TOKENIZERS = {
    "byte level": byte_level_tokenizer(user_defined=["<think>"]),
    "sentencepiece": sentencepiece_tokenizer(),
}


def run_campaign(
    name: str, count: int, *, seed: int, folder: Path, options: tuple[str, ...] = ()
) -> Iterator[Verdict]:
    """The verdicts on so many mutants of a layout or tokenizer; what kills stays in `folder`."""
    path, mutants = _prepare(name, count, seed, folder)
    child = LoadChild(*options, module="tests.support.onnx_child")
    try:
        for index, mutant in enumerate(mutants):
            path.write_bytes(mutant.data)
            outcome, detail = child.judge(path)
            if outcome in ("crash", "hang", "memory"):
                (folder / f"killer-{index}").write_bytes(mutant.data)
            yield Verdict(mutant.label, outcome, detail)
    finally:
        child.close()


def _prepare(name: str, count: int, seed: int, folder: Path) -> tuple[Path, Iterator[Mutant]]:
    if name in TOKENIZERS:
        return folder / "tokenizer.json", json_mutants(TOKENIZERS[name], count, seed)
    path = write_folder(folder / "model", LAYOUTS[name])
    return path, onnx_mutants(path.read_bytes(), count, seed)
