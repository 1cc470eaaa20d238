"""How far rotary positions are stretched is described, and said where it is unusual."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge_llm.hub.gguf import GGUFFile, read_gguf
from edge_llm.hub.gguf_rope import describe_rope, rope_warnings
from tests.support.gguf_files import F32, STRING, U32, Key, write_tiny_model

LONG = Key("llama.context_length", U32, 131072)
BASE = Key("llama.rope.freq_base", F32, 500000.0)


def model(tmp_path: Path, *extra: Key, arch: str = "llama") -> GGUFFile:
    return read_gguf(write_tiny_model(tmp_path / "tiny.gguf", extra=extra, arch=arch))


def test_the_usual_is_described_without_a_warning(tmp_path: Path) -> None:
    file = model(tmp_path, LONG, BASE)

    assert describe_rope(file) == {
        "base": 500000.0,
        "scaling": None,
        "factor": None,
        "original_context": None,
        "factors_by_dimension": False,
    }
    assert list(rope_warnings(file)) == []


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ((Key("llama.rope.scaling.factor", F32, 4.0),), "linearly by 4"),
        ((Key("llama.rope.scale_linear", F32, 2.0),), "linearly by 2"),
        (
            (
                Key("llama.rope.scaling.type", STRING, "yarn"),
                Key("llama.rope.scaling.factor", F32, 4.0),
                Key("llama.rope.scaling.original_context_length", U32, 32768),
            ),
            "from 32,768 to 131,072 tokens by rotary scaling (yarn, factor 4)",
        ),
        ((Key("llama.rope.scaling.type", STRING, "longrope"),), "(longrope)"),
        ((Key("llama.rope.scaling.type", STRING, "magic"),), "'magic'"),
    ],
)
def test_a_stretched_context_is_named(tmp_path: Path, keys: tuple[Key, ...], message: str) -> None:
    (warning,) = rope_warnings(model(tmp_path, LONG, BASE, *keys))

    assert message in warning


def test_a_long_context_that_nothing_explains_is_named(tmp_path: Path) -> None:
    (warning,) = rope_warnings(model(tmp_path, LONG))

    assert "131,072 tokens with the rotary base 10000" in warning


def test_gemma_is_trained_with_its_scaling(tmp_path: Path) -> None:
    factor = Key("gemma3.rope.scaling.factor", F32, 8.0)

    assert list(rope_warnings(model(tmp_path, factor, arch="gemma3"))) == []


def test_models_without_rotary_positions_have_none(tmp_path: Path) -> None:
    file = model(tmp_path, arch="gpt2")

    assert describe_rope(file) is None
    assert list(rope_warnings(file)) == []
