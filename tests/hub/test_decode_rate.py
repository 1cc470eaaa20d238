"""What a token reads, and how fast it should then be written."""

from dataclasses import replace
from pathlib import Path

import pytest

from edge_llm.device.speed import MachineSpeed
from edge_llm.hub.decode_cost import DecodeCost, cost_of_size
from edge_llm.hub.decode_rate import predict_decode_rate
from edge_llm.hub.gguf import GGUFFile, read_gguf
from edge_llm.hub.gguf_cost import gguf_decode_cost
from edge_llm.hub.onnx import read_decoder, read_onnx
from edge_llm.hub.onnx_cost import onnx_decode_cost
from tests.support.gguf_files import ARRAY, BOOL, U32, Key, write_tiny_model
from tests.support.onnx_files import write_folder

PI_5 = MachineSpeed(10.5e9, 4)
KERNELS = {"Q4_0": 4e9, "Q8_0": 7e9, "F16": 8e9}


@pytest.fixture
def tiny(tmp_path: Path) -> GGUFFile:
    return read_gguf(write_tiny_model(tmp_path / "tiny.gguf"))


def test_all_weights_are_read_but_the_embedding(tiny: GGUFFile) -> None:
    cost = gguf_decode_cost(tiny)
    embedding = tiny.tensors["token_embd.weight"].num_bytes
    tied = "output.weight" not in tiny.tensors

    assert cost.weight_bytes == tiny.info.weight_bytes - (0 if tied else embedding)


def test_a_tied_embedding_is_the_head_and_read_whole(tiny: GGUFFile) -> None:
    tensors = {name: t for name, t in tiny.tensors.items() if name != "output.weight"}
    tied = replace(tiny, tensors=tensors)

    assert gguf_decode_cost(tied).weight_bytes == sum(t.num_bytes for t in tensors.values())


def test_of_experts_those_are_read_that_a_token_uses(tiny: GGUFFile) -> None:
    stack = replace(tiny.tensors["blk.0.ffn_up.weight"], shape=(32, 64, 8), num_bytes=80_000)
    tensors = {"blk.0.ffn_up_exps.weight": stack}
    metadata = {**tiny.metadata, "llama.expert_used_count": 2}

    cost = gguf_decode_cost(replace(tiny, tensors=tensors, metadata=metadata))

    assert cost.weight_bytes == 20_000


def test_keys_and_values_are_read_for_each_token_of_context(tiny: GGUFFile) -> None:
    cost = gguf_decode_cost(tiny)
    info = tiny.info
    heads = sum(info.num_kv_heads)

    assert cost.kv_bytes == heads * (info.key_length + info.value_length) * 2
    assert cost.kv_at(100) == 100 * cost.kv_bytes
    assert cost.heads_per_kv_head == sum(info.num_heads) / heads


def test_a_window_ends_what_is_read(tiny: GGUFFile) -> None:
    cost = DecodeCost({}, kv_bytes=10, window_bytes=100, window=512)

    assert cost.kv_at(256) == 256 * 110
    assert cost.kv_at(4096) == 4096 * 10 + 512 * 100


@pytest.mark.parametrize(
    ("arch", "pattern", "share"),
    [("gemma2", None, 0.5), ("llama", [1, 0], 0.5), ("llama", None, 0.0)],
)
def test_layers_with_a_window_are_known(
    tmp_path: Path, arch: str, pattern: list[int] | None, share: float
) -> None:
    extra = [Key(f"{arch}.attention.sliding_window", U32, 128)]
    if pattern is not None:
        extra.append(Key(f"{arch}.attention.sliding_window_pattern", ARRAY, pattern, BOOL))
    path = write_tiny_model(tmp_path / "w.gguf", arch=arch, extra=tuple(extra))

    cost = gguf_decode_cost(read_gguf(path))

    assert (cost.window, cost.window_bytes) == (
        128,
        share * (cost.kv_bytes + cost.window_bytes),
    )


def test_memory_alone_bounds_where_kernels_are_unknown() -> None:
    # llama3.2:3b Q4_K_M on a Pi 5: 4.6 to 5.5 tok/s published, 2.02 GB.
    rate = predict_decode_rate(cost_of_size(2_020_000_000, "Q4_K"), 0, PI_5)

    assert 4.6 < rate < 5.6


def test_slow_kernels_lower_the_rate_and_more_threads_raise_it() -> None:
    cost = DecodeCost({"Q4_0": 10**9})
    one = MachineSpeed(30e9, 1, KERNELS)

    assert predict_decode_rate(cost, 0, one) < 4.0
    assert predict_decode_rate(cost, 0, replace(one, threads=4)) > 2 * predict_decode_rate(
        cost, 0, one
    )


def test_a_longer_context_is_slower_the_more_so_with_shared_heads() -> None:
    alone = DecodeCost({"Q8_0": 10**8}, kv_bytes=20_000)
    shared = replace(alone, heads_per_kv_head=7.0)
    speed = MachineSpeed(20e9, 2, KERNELS)

    rates = [predict_decode_rate(alone, context, speed) for context in (0, 512, 4096)]
    assert rates == sorted(rates, reverse=True)
    assert predict_decode_rate(shared, 4096, speed) < rates[-1]


def test_layers_cost_time_of_their_own(tiny: GGUFFile) -> None:
    speed = MachineSpeed(20e9, 2, KERNELS)

    assert predict_decode_rate(gguf_decode_cost(tiny), 0, speed) < 5_000


@pytest.mark.parametrize(
    ("storage", "kind"), [("int4", "Q4_0"), ("int8", "Q8_0"), ("float", "F32")]
)
def test_of_an_onnx_graph_the_matrices_are_read_and_not_the_embedding(
    tmp_path: Path, storage: str, kind: str
) -> None:
    file = read_onnx(write_folder(tmp_path / "m", storage=storage))
    interface = read_decoder(file)

    cost = onnx_decode_cost(file, interface)

    assert 0 < cost.weights[kind] <= cost.weight_bytes < file.weight_bytes
    assert cost.kv_bytes == interface.cache_bytes_per_token
    assert predict_decode_rate(cost, 10, PI_5) > 0
