"""The memory estimate against what llama.cpp says that it allocates."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import get_args

import pytest

from edge_llm.hub.gguf import read_gguf
from tests.support.gguf_files import TinySpec, write_tiny_model
from tests.support.recurrent_files import RecurrentArch, write_recurrent_model

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
settings.n_threads, settings.n_seq_max, settings.kv_unified = 1, int(sys.argv[4]), True
llama_cpp.llama_init_from_model(model, settings)
sizes = {}
for kind, size in re.findall(r"(KV|RS|compute) buffer size\\s*=\\s*([\\d.]+) MiB", "".join(lines)):
    sizes[kind] = sizes.get(kind, 0.0) + float(size) * 2**20
print(json.dumps(sizes))
"""

SPECS = {
    "narrow": TinySpec(layers=4, width=256, heads=8, kv_heads=4, feed_forward=768),
    "vocabulary": TinySpec(layers=2, width=128, feed_forward=512, extra_tokens=40_000),
    "deep": TinySpec(layers=24, width=128, kv_heads=4, feed_forward=512, arch="qwen3"),
}


def measured(path: Path, context: int, n_ubatch: int, num_seq_ids: int = 1) -> dict[str, float]:
    numbers = map(str, (context, n_ubatch, num_seq_ids))
    result = subprocess.run(
        [sys.executable, "-c", MEASURE, str(path), *numbers],
        capture_output=True,
        check=True,
        text=True,
    )
    sizes: dict[str, float] = json.loads(result.stdout.splitlines()[-1])
    return sizes


@pytest.mark.parametrize("name", SPECS)
@pytest.mark.parametrize(("context", "n_ubatch"), [(256, 256), (8192, 512)])
def test_estimate_is_within_a_fifth_of_what_llama_cpp_allocates(
    tmp_path: Path, name: str, context: int, n_ubatch: int
) -> None:
    pytest.importorskip("llama_cpp")
    path = write_tiny_model(tmp_path / "m.gguf", SPECS[name], storage="Q8_0")
    info = read_gguf(path).info
    sizes = measured(path, context, n_ubatch)
    assert info.kv_bytes_per_token() * context == pytest.approx(sizes["KV"], rel=0.01, abs=1e4)
    assert info.compute_bytes(n_ubatch, context) == pytest.approx(sizes["compute"], rel=0.2)


@pytest.mark.parametrize("arch", get_args(RecurrentArch))
def test_the_state_of_every_sequence_is_counted(tmp_path: Path, arch: RecurrentArch) -> None:
    pytest.importorskip("llama_cpp")
    path = write_recurrent_model(tmp_path / "m.gguf", arch)
    info = read_gguf(path).info

    sizes = measured(path, 512, 512, num_seq_ids=200)

    assert 200 * info.state_bytes == pytest.approx(sizes["RS"], rel=0.01, abs=1e4)
    more = info.estimate_memory_bytes(512, num_seq_ids=200) - info.estimate_memory_bytes(512)
    assert more == 199 * info.state_bytes
