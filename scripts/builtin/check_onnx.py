"""Checks that onnxruntime reads the ONNX form as llama.cpp reads the GGUF file.

Tokens have to be equal. Greedy answers have to be equal where nothing but the order of additions
differs: both in float32, from the same values. Needs no torch and no checkpoint.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from gguf import GGMLQuantizationType as Kind

from scripts.builtin.chat import render_prompt
from scripts.builtin.domain import Domain
from scripts.builtin.export_onnx import FILE_NAME, write_folder
from scripts.builtin.generator import Generator
from scripts.builtin.gguf_copy import copy_gguf, read_gguf
from scripts.builtin.onnx_runner import OnnxRunner
from scripts.builtin.runner import CONTEXT_TOKENS, Runner

NUM_TOKENIZED = 2000
NUM_COMPARED = 40
CLOSE = 0.01
"""Two logits nearer than this may change places: which one wins is nobody's mistake."""


def check_onnx(
    gguf_path: Path, folder: Path, work_dir: Path, domain: Domain, *, count: int
) -> None:
    """Prints how far the two agree on `count` generated conversations.

    Raises:
        ValueError: a text has other tokens, or a clear choice between two tokens differs.
    """
    shipped = OnnxRunner(folder / FILE_NAME)
    prompts = _draw_prompts(Runner(gguf_path), shipped, domain, count)
    _compare_logits(gguf_path, shipped, prompts[:NUM_COMPARED])
    for kind in (Kind.F32, Kind.F16):
        differing = _compare_kind(gguf_path, work_dir, kind, prompts)
        print(f"greedy, float32 ONNX against {kind.name} GGUF: {differing}")
        if kind is Kind.F32 and differing.clear:
            raise ValueError(f"clear choices differ: {differing.clear}")
    quantized = Differing()
    _compare_answers(shipped, Runner(gguf_path), prompts, quantized)
    print(f"greedy, shipped ONNX against Q8_0 GGUF (int8 activations): {quantized}")


@dataclass
class Differing:
    """Answers that are not the same, by how clear the first different choice was."""

    num_answers: int = 0
    close: list[float] = field(default_factory=list)
    clear: list[float] = field(default_factory=list)

    def __str__(self) -> str:
        widest = f", the widest gap {max(self.clear):.3f}" if self.clear else ""
        return (
            f"{len(self.close) + len(self.clear)} of {self.num_answers} differ;"
            f" {len(self.close)} with the top two logits within {CLOSE},"
            f" {len(self.clear)} with more{widest}"
        )


def _draw_prompts(llama: Runner, onnx: OnnxRunner, domain: Domain, count: int) -> list[str]:
    prompts = []
    generator = Generator("check-onnx", domain=domain)
    for conversation in itertools.islice(generator, max(NUM_TOKENIZED, count)):
        whole = render_prompt(conversation.messages)
        if llama.tokenize(whole) != onnx.tokenize(whole):
            raise ValueError(f"llama.cpp and tokenizers have other tokens for {whole!r}")
        prompts.append(render_prompt(conversation.messages[:-1]))
    print(f"tokens agree on {len(prompts)} conversations")
    return [p for p in prompts if len(onnx.tokenize(p)) < CONTEXT_TOKENS][:count]


def _compare_kind(gguf_path: Path, work_dir: Path, kind: Kind, prompts: Iterable[str]) -> Differing:
    """Both models in float32 arithmetic as far as possible, from values of one precision."""
    copied = work_dir / f"{kind.name.lower()}.gguf"
    copy_gguf(gguf_path, copied, kind)
    graph = write_folder(read_gguf(copied), work_dir / f"onnx-from-{kind.name.lower()}")
    differing = Differing()
    _compare_answers(OnnxRunner(graph), Runner(copied, float_cache=True), prompts, differing)
    return differing


def _compare_answers(
    onnx: OnnxRunner, llama: Runner, prompts: Iterable[str], differing: Differing
) -> None:
    for prompt in prompts:
        ids = onnx.tokenize(prompt)
        found, expected = onnx.answer_ids(ids), llama.answer_ids(ids)
        differing.num_answers += 1
        if found.ids == expected:
            continue
        pairs = zip(found.ids, expected, strict=False)
        first = next(
            (i for i, (one, other) in enumerate(pairs) if one != other),
            min(len(found.ids), len(expected)),
        )
        gap = found.gaps[first]
        (differing.close if gap <= CLOSE else differing.clear).append(gap)


def _compare_logits(gguf_path: Path, onnx: OnnxRunner, prompts: Iterable[str]) -> None:
    runner = Runner(gguf_path, keep_logits=True)
    largest = 0.0
    for prompt in prompts:
        ids = onnx.tokenize(prompt)
        runner.llama.reset()
        runner.llama.eval(ids)
        gap = np.abs(onnx.logits(ids) - runner.llama.scores[: len(ids)]).max()
        largest = max(largest, float(gap))
    print(f"largest difference of logits, shipped ONNX against Q8_0 GGUF: {largest:.3f}")
