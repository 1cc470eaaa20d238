"""What single architectures assert about their own hyper-parameters, as a table of rules.

Source: the GGML_ASSERTs of src/models/*.cpp, llama.cpp 0.5.0 (commit 0c1e57098), that metadata can
reach. Most rules speak only of keys that are in the file: llama.cpp itself reports missing ones.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from edge_llm.hub.gguf_file import GGUFFile


class Rule(NamedTuple):
    """A relation between hyper-parameters that some architectures need."""

    architectures: frozenset[str]
    keys: tuple[str, ...]
    """Without the prefix of the architecture."""
    holds: Callable[..., bool]
    """Takes the values of `keys`."""
    text: str
    missing: int | None = None
    """Value of keys that are not in the file; None where the rule then says nothing."""


def _of(names: str) -> frozenset[str]:
    return frozenset(names.split())


_SSM_HEADS = _of("mamba2 granitehybrid falcon-h1 nemotron_h nemotron_h_moe")
_DELTA_NET = _of("qwen3next qwen35 qwen35moe qwen4exp")
_INDEXED = _of("deepseek32 glm-dsa dots3note")
_LATENT = _of("deepseek2 mistral4 minicpm3 plm")

RULES = (
    Rule(
        _of("bailingmoe2 grovemoe smallthinker lfm2moe glm4moe"),
        ("expert_count",),
        lambda experts: experts > 0,
        "there are experts",
        missing=0,
    ),
    Rule(
        _of("granitehybrid jamba"),
        ("ssm.inner_size", "embedding_length"),
        lambda inner, width: inner == 2 * width,
        "the inner size is twice the width",
    ),
    Rule(
        _SSM_HEADS | {"plamo2"},
        ("ssm.inner_size", "ssm.time_step_rank"),
        lambda inner, heads: inner % heads == 0,
        "the heads divide the inner size",
    ),
    Rule(
        _SSM_HEADS,
        ("ssm.inner_size", "ssm.group_count"),
        lambda inner, groups: groups > 0 and inner % groups == 0,
        "the groups divide the inner size",
    ),
    Rule(
        _DELTA_NET,
        ("ssm.time_step_rank", "ssm.group_count"),
        lambda values, keys: keys > 0 and values % keys == 0,
        "the key heads divide the value heads",
    ),
    Rule(_of("plamo2"), ("ssm.group_count",), lambda groups: groups == 0, "there are no groups"),
    Rule(
        _of("rwkv6 rwkv7 rwkv6qwen2 arwkv7"),
        ("embedding_length", "wkv.head_size"),
        lambda width, head: width % head == 0,
        "the heads divide the width",
    ),
    Rule(_of("rwkv6 rwkv7"), ("token_shift_count",), lambda count: count == 2, "it is 2"),
    Rule(_of("rwkv6qwen2 arwkv7"), ("token_shift_count",), lambda count: count == 1, "it is 1"),
    Rule(
        _of("deepseek4 glm5-next"), ("hyper_connection.count",), lambda count: count == 4, "it is 4"
    ),
    Rule(
        _of("deepseek4"),
        ("attention.head_count", "attention.output_group_count"),
        lambda heads, groups: heads % groups == 0,
        "the groups divide the heads",
    ),
    Rule(
        _of("glm5-next"),
        ("attention.indexer.top_k", "attention.indexer.kpool"),
        lambda top, pool: pool > 1 and top % pool == 0,
        "the pool is more than 1 and divides the top",
    ),
    Rule(
        _INDEXED,
        ("rope.dimension_count", "attention.indexer.key_length"),
        lambda rotary, key: rotary <= key,
        "the indexer has room for the rotary part",
    ),
    Rule(
        _LATENT,
        ("rope.dimension_count", "attention.key_length"),
        lambda rotary, key: rotary < key,
        "keys have more than a rotary part",
        missing=0,
    ),
    Rule(
        _INDEXED | _LATENT | _of("hy_v4"),
        ("rope.dimension_count", "attention.key_length_mla"),
        lambda rotary, key: rotary < key,
        "keys have more than a rotary part",
    ),
    Rule(
        _of("minimax-m3"),
        ("attention.indexer.block_size",),
        lambda size: size > 0,
        "it is positive",
    ),
    Rule(_of("bailingmoe3"), ("kda.safe_gate",), lambda safe: safe, "the gate is safe"),
    Rule(_of("bailingmoe3"), ("kda.gate_lower_bound",), lambda bound: bound < 0, "it is negative"),
    Rule(
        _of("hrm_text"),
        ("hrm.layers_per_stack", "hrm.h_cycles", "hrm.l_cycles"),
        lambda *values: min(values) > 0,
        "all are positive",
    ),
    Rule(
        _of("hrm_text"),
        ("block_count", "hrm.layers_per_stack", "hrm.h_cycles", "hrm.l_cycles"),
        lambda layers, stack, high, low: layers == stack * high * (low + 1),
        "the cycles make up the layers",
    ),
    Rule(
        _of("nanbeige"),
        ("num_loops", "block_count"),
        lambda loops, layers: loops > 0 and loops * layers <= 512,
        "the loops make at most 512 layers",
    ),
    Rule(_of("lfm2 lfm2moe"), ("shortconv.l_cache",), lambda size: size > 1, "it is more than 1"),
)

GATING_FUNCTIONS = range(1, 5)
"""LLAMA_EXPERT_GATING_FUNC_TYPE_*; 0 lets most architectures take their own."""

WITHOUT_DEFAULT_GATING = _of("smallthinker lfm2moe")
NEEDS_LATENT_ATTENTION = _of("deepseek32 dots3note glm-dsa hy_v4")


def check_special(file: GGUFFile) -> None:
    """Return when the file keeps the rules of its architecture.

    Raises:
        ModelFormatError: it breaks one.
    """
    arch = file.architecture
    for rule in RULES:
        if arch in rule.architectures:
            _check_rule(file, rule)
    gating = file.integer(f"{arch}.expert_gating_func") or 0
    if gating not in GATING_FUNCTIONS and (gating or arch in WITHOUT_DEFAULT_GATING):
        raise file.error(f"{arch}.expert_gating_func is {gating}; there are 1 to 4")
    if arch in NEEDS_LATENT_ATTENTION and not file.integer(f"{arch}.attention.key_length_mla"):
        raise file.error(f"{arch}.attention.key_length_mla is missing")


def _check_rule(file: GGUFFile, rule: Rule) -> None:
    values = [file.metadata.get(f"{file.architecture}.{key}", rule.missing) for key in rule.keys]
    if not all(isinstance(value, int | float) for value in values):
        return
    if not rule.holds(*values):
        shown = ", ".join(f"{key} {value}" for key, value in zip(rule.keys, values, strict=True))
        raise file.error(f"{file.architecture} needs that {rule.text}: {shown}")
