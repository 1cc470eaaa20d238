"""The memory estimate against what llama.cpp says that it allocates."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from edge_llm.config import KVCacheType
from edge_llm.hub.gguf import read_gguf
from edge_llm.hub.gguf_memory import (
    ContextShape,
    activation_bytes,
    attention_bytes,
    estimate_memory,
    largest_context,
    recurrent_bytes,
    refuses_kv_type,
)
from edge_llm.hub.memory_estimate import MemoryEstimate
from tests.support.gguf_files import ARRAY, BOOL, U32, Key, TinySpec, write_tiny_model

MEASURE = """
import ctypes, json, re, sys
import llama_cpp
lines = []
@llama_cpp.llama_log_callback
def keep(level, text, _):
    lines.append(text.decode("utf-8", "replace"))
llama_cpp.llama_log_set(keep, ctypes.c_void_p(0))
llama_cpp.llama_backend_init()
model = llama_cpp.llama_model_load_from_file(
    sys.argv[1].encode(), llama_cpp.llama_model_default_params())
settings = llama_cpp.llama_context_default_params()
settings.n_ctx, settings.n_batch, settings.n_ubatch = int(sys.argv[2]), 512, int(sys.argv[3])
settings.n_seq_max, settings.kv_unified, settings.n_threads = int(sys.argv[4]), True, 1
if sys.argv[5] == "q8_0":
    settings.type_k = settings.type_v = 8
    settings.flash_attn_type = 1
assert llama_cpp.llama_init_from_model(model, settings), "".join(lines)
sizes = {}
found = re.findall(r"(KV|RS|compute|output) buffer size\\s*=\\s*([\\d.]+) MiB", "".join(lines))
for kind, size in found:
    sizes[kind] = sizes.get(kind, 0.0) + float(size) * 2**20
print(json.dumps(sizes))
"""

ROUNDING = 0.01 * 2**20
"""llama.cpp writes hundredths of a MiB."""

SPECS = {
    "narrow": TinySpec(layers=4, width=256, heads=8, kv_heads=4, feed_forward=768),
    "vocabulary": TinySpec(layers=2, width=128, feed_forward=512, extra_tokens=40_000),
    "deep": TinySpec(layers=24, width=128, kv_heads=4, feed_forward=512, arch="qwen3"),
    "experts": TinySpec(layers=4, width=256, feed_forward=512, arch="qwen3moe", experts=4),
    "sliding window": TinySpec(
        layers=6,
        width=128,
        arch="gemma3",
        extra=(Key("gemma3.attention.sliding_window", U32, 64),),
    ),
}


def measured(path: Path, shape: ContextShape) -> dict[str, float]:
    pytest.importorskip("llama_cpp")
    arguments = (
        path,
        shape.context_size,
        shape.num_rows,
        shape.num_seq_ids,
        shape.kv_cache_type,
    )
    result = subprocess.run(
        [sys.executable, "-c", MEASURE, *map(str, arguments)],
        capture_output=True,
        check=True,
        text=True,
    )
    sizes: dict[str, float] = json.loads(result.stdout.splitlines()[-1])
    return sizes


@pytest.mark.parametrize("name", SPECS)
@pytest.mark.parametrize(
    "shape",
    [
        ContextShape(256, max_batched_tokens=256),
        ContextShape(8192, num_seq_ids=20),
        ContextShape(2048, num_seq_ids=5, kv_cache_type="q8_0"),
    ],
    ids=["short", "long", "q8_0"],
)
def test_estimate_is_what_llama_cpp_allocates(
    tmp_path: Path, name: str, shape: ContextShape
) -> None:
    file = read_gguf(write_tiny_model(tmp_path / "m.gguf", SPECS[name], storage="Q8_0"))
    sizes = measured(file.path, shape)

    assert attention_bytes(file, shape) == pytest.approx(sizes["KV"], rel=0.001, abs=ROUNDING)
    # llama.cpp reserves for logits of every token in a batch, in which it is the upper bound.
    reserved = activation_bytes(file, shape, shape.num_rows)
    assert reserved == pytest.approx(sizes["compute"], rel=0.15)
    rows_of_logits = 4 * file.info.vocab_size * shape.num_seq_ids
    assert rows_of_logits == pytest.approx(sizes["output"], abs=2 * ROUNDING)


def recurrent_model(tmp_path: Path, arch: str, *keys: Key) -> Path:
    """A file of metadata alone: 4 layers, 32 wide."""
    spec = TinySpec(arch=arch, layers=4, extra=keys)
    return write_tiny_model(tmp_path / "m.gguf", spec)


SSM = (("conv_kernel", 4), ("inner_size", 64), ("state_size", 16))


@pytest.mark.parametrize(
    ("arch", "kv_heads", "keys", "kv_bytes", "state_bytes"),
    [
        ("mamba", [0, 0, 0, 0], [(f"ssm.{k}", v) for k, v in SSM], 0, 4_864 * 4),
        ("jamba", [0, 2, 0, 2], [(f"ssm.{k}", v) for k, v in SSM], 131_072, 2_432 * 4),
        ("lfm2", [0, 2, 0, 2], [("shortconv.l_cache", 4)], 131_072, 192 * 4),
        ("llama", [2, 2, 2, 2], [], 262_144, 0),
    ],
)
def test_recurrent_layers_keep_a_state_for_each_sequence_and_no_keys(
    tmp_path: Path,
    arch: str,
    kv_heads: list[int],
    keys: list[tuple[str, int]],
    kv_bytes: int,
    state_bytes: int,
) -> None:
    # The numbers are what llama.cpp logged for such models with 1,024 cells and 200 sequences.
    extra = [Key(f"{arch}.{name}", U32, value) for name, value in keys]
    extra.append(Key(f"{arch}.attention.head_count_kv", ARRAY, kv_heads))
    file = read_gguf(recurrent_model(tmp_path, arch, *extra))
    shape = ContextShape(1024, num_seq_ids=200)

    assert attention_bytes(file, shape) == kv_bytes
    assert recurrent_bytes(file, shape) == state_bytes * 200


@pytest.mark.parametrize(
    ("arch", "keys", "layers_with_keys"),
    [
        ("qwen3next", (), 1),
        ("qwen3next", (Key("qwen3next.full_attention_interval", U32, 2),), 2),
        ("qwen35", (Key("qwen35.attention.recurrent_layers", ARRAY, [1, 0, 0, 0], BOOL),), 3),
        ("falcon-h1", (), 4),
        ("gemma4", (Key("gemma4.attention.shared_kv_layers", U32, 3),), 1),
        ("gemma3n", (), 4),
    ],
)
def test_architectures_have_their_own_way_to_say_which_layers_attend(
    tmp_path: Path, arch: str, keys: tuple[Key, ...], layers_with_keys: int
) -> None:
    file = read_gguf(recurrent_model(tmp_path, arch, *keys))
    of_one_layer = 256 * 2 * (8 + 8) * 2

    assert attention_bytes(file, ContextShape(256)) == layers_with_keys * of_one_layer


def test_sliding_layers_may_have_other_heads_and_latent_ones_no_values(tmp_path: Path) -> None:
    slides = [1, 1, 0, 1]
    gemma4 = recurrent_model(
        tmp_path,
        "gemma4",
        Key("gemma4.attention.sliding_window_pattern", ARRAY, slides, BOOL),
        Key("gemma4.attention.key_length_swa", U32, 4),
        Key("gemma4.attention.value_length_swa", U32, 4),
    )
    assert attention_bytes(read_gguf(gemma4), ContextShape(256)) == 256 * 2 * (3 * 8 + 16) * 2
    latent = recurrent_model(
        tmp_path, "deepseek2", Key("deepseek2.attention.key_length_mla", U32, 8)
    )
    assert attention_bytes(read_gguf(latent), ContextShape(256)) == 256 * 4 * 2 * 8 * 2


def test_the_total_is_the_sum_and_weights_count_once(tmp_path: Path) -> None:
    file = read_gguf(write_tiny_model(tmp_path / "m.gguf", width=128, storage="Q4_0"))
    estimate = estimate_memory(file, ContextShape(512, num_seq_ids=4))

    assert estimate.weights == file.info.weight_bytes
    assert estimate.total == sum(
        (estimate.weights, estimate.kv_cache, estimate.compute, estimate.overhead)
    )
    assert MemoryEstimate(1, 2, 3, 4).total == 10


def test_the_largest_context_fits_and_the_next_does_not(tmp_path: Path) -> None:
    file = read_gguf(write_tiny_model(tmp_path / "m.gguf", width=128))
    shape = ContextShape(100_000)
    free = estimate_memory(file, replace(shape, context_size=50_000)).total

    found = largest_context(file, shape, free)

    assert found % 256 == 0
    assert estimate_memory(file, replace(shape, context_size=found)).total <= free
    assert estimate_memory(file, replace(shape, context_size=found + 256)).total > free
    assert largest_context(file, shape, 10**12) == 99_840
    assert largest_context(file, shape, 1000) == 0


@pytest.mark.parametrize(("kv_type", "refused"), [("f16", False), ("q8_0", True)])
def test_heads_that_are_no_whole_blocks_are_told_apart(
    tmp_path: Path, kv_type: KVCacheType, refused: bool
) -> None:
    small_heads = read_gguf(write_tiny_model(tmp_path / "m.gguf", width=32, heads=4))
    assert (refuses_kv_type(small_heads, kv_type) is not None) is refused
    whole = read_gguf(write_tiny_model(tmp_path / "n.gguf", width=128, heads=4))
    assert refuses_kv_type(whole, kv_type) is None
