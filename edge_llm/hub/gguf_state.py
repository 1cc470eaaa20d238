"""Memory of the state that recurrent layers keep for each sequence instead of keys and values.

It is allocated for every sequence id when a context is opened, whether or not one uses it.

Source: `n_embd_r` and `n_embd_s`, src/llama-hparams.cpp, llama.cpp 0.5.0 (commit 0c1e57098), and
src/llama-memory-recurrent.cpp: one row of each in F32, per layer and sequence.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from edge_llm.hub.gguf_types import GGUFValue

_MARKS = ("ssm_", "shortconv.", "time_mix_")
"""How tensors of a recurrent layer are called, after `blk.N.`."""

_F32_BYTES = 4


def recurrent_state_bytes(
    metadata: Mapping[str, GGUFValue], tensor_names: Iterable[str], num_heads: int
) -> int:
    """Bytes of the recurrent state of one sequence; 0 where all layers are attention.

    Not for MiniMax-Text-01, whose linear attention has no key of its own in the file.
    """
    arch = metadata.get("general.architecture")

    def number(name: str, default: int = 0) -> int:
        value = metadata.get(f"{arch}.{name}")
        return value if isinstance(value, int) else default

    blocks = {parts[1] for parts in map(_split, tensor_names) if _is_recurrent(parts)}
    return len(blocks) * _F32_BYTES * _numbers_in_layer(number, num_heads)


def _split(name: str) -> list[str]:
    return name.split(".", 2)


def _is_recurrent(parts: list[str]) -> bool:
    return len(parts) == 3 and parts[0] == "blk" and parts[2].startswith(_MARKS)


def _numbers_in_layer(number: Callable[..., int], num_heads: int) -> int:
    """What the convolution or token shift remembers, and what the recurrence does."""
    width = number("embedding_length")
    history = max(0, number("ssm.conv_kernel") - 1)
    if head := number("wkv.head_size"):
        return number("token_shift_count", 2) * width + width * head
    if length := number("shortconv.l_cache"):
        return width * (length - 1)
    if head := number("kda.head_dim"):
        return (3 * (history or 3) + head) * num_heads * head
    inner, state = number("ssm.inner_size"), number("ssm.state_size")
    return history * (inner + 2 * number("ssm.group_count") * state) + state * inner
