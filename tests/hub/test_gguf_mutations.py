"""A slice of the mutation campaign; `benchmarks/fuzz_gguf.py` runs the whole of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.gguf_campaign import Verdict, run_campaign
from tests.support.gguf_files import (
    ARRAY,
    BOOL,
    F32,
    STRING,
    U32,
    Key,
    TinySpec,
    tiny_model,
    write_tiny_model,
)
from tests.support.gguf_mutants import Mutant, load_base, mutants

SPECS = {
    "llama": TinySpec(),
    "sentencepiece": TinySpec(tokenizer="llama", storage="Q8_0"),
    "experts": TinySpec(experts=4),
}


@pytest.mark.parametrize("name", SPECS)
def test_no_mutant_ends_the_process(tmp_path: Path, name: str) -> None:
    pytest.importorskip("llama_cpp")
    base = load_base(write_tiny_model(tmp_path / "base.gguf", SPECS[name]))
    verdicts = list(run_campaign(mutants(base, 52, seed=1), tmp_path))
    assert [verdict for verdict in verdicts if verdict.outcome in ("crash", "hang")] == []
    assert {"refused", "works"} <= {verdict.outcome for verdict in verdicts}


def with_key(key: Key, **changes: object) -> Mutant:
    spec = TinySpec(extra=(key,), **changes)  # type: ignore[arg-type]
    return Mutant(f"{key.name} = {key.value!r:.40}", tiny_model(spec))


FATAL = [
    with_key(Key("llama.block_count", U32, 513)),
    with_key(Key("llama.nextn_predict_layers", U32, 8)),
    with_key(Key("llama.expert_count", U32, 64)),
    with_key(Key("llama.expert_used_count", U32, 8)),
    with_key(Key("llama.expert_group_count", U32, 2)),
    with_key(Key("llama.attention.layer_norm_rms_epsilon", F32, -1.0)),
    with_key(Key("llama.rope.scaling.type", STRING, "spiral")),
    with_key(Key("general.alignment", U32, 8)),
    with_key(Key("tokenizer.ggml.tokens", ARRAY, ["a"] * 265, STRING)),
    with_key(Key("tokenizer.ggml.model", STRING, "rwkv")),
    with_key(Key("tokenizer.ggml.pre", STRING, "whitespace")),
    with_key(Key("qwen2.attention.head_count", U32, 8), arch="qwen2"),
    with_key(
        Key("gemma3.attention.sliding_window", U32, 1 << 31), arch="gemma3", tokenizer="llama"
    ),
    with_key(Key("tokenizer.ggml.add_bos_token", BOOL, True)),
]
"""Each of these (but the last, which is sound) ended the process that gave it to llama.cpp."""


def test_what_killed_llama_cpp_is_refused_first(tmp_path: Path) -> None:
    pytest.importorskip("llama_cpp")
    verdicts: list[Verdict] = list(run_campaign(FATAL, tmp_path))
    assert [verdict.outcome for verdict in verdicts] == ["refused"] * (len(FATAL) - 1) + ["works"]
