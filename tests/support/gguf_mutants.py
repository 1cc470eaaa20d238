"""Damaged copies of a GGUF file, reproducible from a seed.

Two families: bytes changed in place, where the structure breaks, and files taken apart, changed
and written again, which are sound as files and wrong as models.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from struct import pack, unpack_from
from typing import Any, NamedTuple

from edge_llm.hub.gguf import GGUFArray, ValueType, read_gguf
from edge_llm.hub.gguf_architectures import GENERATES_TEXT, KNOWN_ARCHITECTURES, PRE_TOKENIZERS
from edge_llm.hub.gguf_types import GGML_TYPES, SCALARS
from tests.support.gguf_files import TYPE_CODES, Key, Tensor, build_gguf

HUGE = (0, 1, 7, 255, 65536, 1 << 20, 1 << 31, (1 << 32) - 1, 1 << 40, 1 << 60, (1 << 64) - 1)
NUMBERS = (
    0,
    1,
    2,
    3,
    5,
    8,
    31,
    33,
    64,
    127,
    512,
    513,
    4096,
    1 << 16,
    1 << 20,
    1 << 31,
    (1 << 32) - 1,
)
FLOATS = (0.0, -1.0, 1.0, 1e-30, 1e30, math.inf, -math.inf, math.nan)
TEXTS = ("", "none", "llama", "gpt2", "bert", "t5", "rwkv", "plamo2", "yarn", "longrope", "x" * 300)


def _words(text: str) -> list[str]:
    return text.split()


FLOAT_NAMES = _words(
    """
    logit_scale attn_logit_softcapping router_logit_softcapping final_logit_softcapping
    residual_scale embedding_scale adapters.router_gain attention.max_alibi_bias
    attention.clamp_kqv attention.layer_norm_epsilon attention.layer_norm_rms_epsilon
    attention.group_norm_epsilon attention.scale attention.output_scale attention.value_scale
    attention.temperature_scale attention.compress_rope_freq_base hyper_connection.epsilon
    hyper_connection.magnitude rope.freq_base rope.freq_base_swa rope.scale_linear
    rope.scaling.factor rope.scaling.alpha rope.scaling.attn_factor
    rope.scaling.yarn_log_multiplier rope.scaling.yarn_ext_factor rope.scaling.yarn_attn_factor
    rope.scaling.yarn_beta_fast rope.scaling.yarn_beta_slow kda.gate_lower_bound
    expert_weights_scale expert_group_scale activation.situ_beta activation.situ_linear_beta
"""
)
BOOL_NAMES = _words(
    """
    use_parallel_residual expert_weights_norm swin_norm attention.causal rope.scaling.finetuned
    ssm.dt_b_c_rms kda.safe_gate norm_before_residual norm_before_fc skip_loop_final_norm
    hrm.prefix_lm attention.indexer.kpool_select_tail
"""
)
SIZE_NAMES = _words(
    """
    vocab_size embedding_length_out embedding_length_per_layer_input features_length
    leading_dense_block_count attn_res.block_size feed_forward_length expert_feed_forward_length
    expert_shared_feed_forward_length expert_chunk_feed_forward_length expert_count
    expert_used_count expert_shared_count expert_group_count expert_group_used_count
    expert_latent_length expert_gating_func experts_per_group moe_every_n_layers moe_latent_size
    nextn_predict_layers n_deepstack_layers pooling_type decoder_start_token_id decoder_block_count
    rescale_every_n_layers time_mix_extra_dim time_decay_extra_dim adapters.count
    adapters.lora_rank token_shift_count interleave_moe_layer_step full_attention_interval
    num_loops hrm.layers_per_stack hrm.h_cycles hrm.l_cycles attention.head_count
    attention.head_count_kv attention.key_length attention.value_length
    attention.group_norm_groups attention.q_lora_rank attention.kv_lora_rank
    attention.decay_lora_rank attention.iclr_lora_rank attention.value_residual_mix_lora_rank
    attention.gate_lora_rank attention.relative_buckets_count attention.sliding_window
    attention.sliding_window_pattern attention.temperature_length attention.key_length_mla
    attention.value_length_mla attention.key_length_swa attention.value_length_swa
    attention.key_length_mla_swa attention.value_length_mla_swa attention.kv_lora_rank_swa
    attention.indexer.head_count attention.indexer.key_length attention.indexer.top_k
    attention.indexer.block_size attention.indexer.local_blocks attention.indexer.kpool
    attention.output_group_count attention.output_lora_rank attention.shared_kv_layers
    hyper_connection.count hyper_connection.sinkhorn_iterations hyper_connection.low_rank
    ple.ngram_size ple.heads_per_ngram ple.conv_kernel ple.eos_token_id hash_layer_count
    rope.dimension_count rope.dimension_count_swa rope.scaling.original_context_length
    ssm.conv_kernel ssm.inner_size ssm.state_size ssm.time_step_rank ssm.group_count kda.head_dim
    wkv.head_size block_size shortconv.l_cache dense_2_feat_in dense_2_feat_out
"""
)

PLANTED: tuple[tuple[str, ValueType], ...] = (
    *((f"{{arch}}.{name}", ValueType.UINT32) for name in SIZE_NAMES),
    *((f"{{arch}}.{name}", ValueType.FLOAT32) for name in FLOAT_NAMES),
    *((f"{{arch}}.{name}", ValueType.BOOL) for name in BOOL_NAMES),
    ("{arch}.rope.scaling.type", ValueType.STRING),
    ("tokenizer.ggml.bos_token_id", ValueType.UINT32),
    ("tokenizer.ggml.eos_token_id", ValueType.UINT32),
    ("tokenizer.ggml.eot_token_id", ValueType.UINT32),
    ("tokenizer.ggml.padding_token_id", ValueType.UINT32),
    ("tokenizer.ggml.unknown_token_id", ValueType.UINT32),
    ("tokenizer.ggml.add_bos_token", ValueType.BOOL),
    ("tokenizer.ggml.add_eos_token", ValueType.BOOL),
    ("tokenizer.ggml.add_sep_token", ValueType.BOOL),
    ("tokenizer.ggml.add_space_prefix", ValueType.BOOL),
    ("tokenizer.ggml.remove_extra_whitespaces", ValueType.BOOL),
    ("tokenizer.ggml.token_type_count", ValueType.UINT32),
    ("general.alignment", ValueType.UINT32),
    ("general.file_type", ValueType.UINT32),
    ("general.quantization_version", ValueType.UINT32),
    ("split.count", ValueType.UINT16),
    ("split.no", ValueType.UINT16),
)
"""Keys that llama.cpp reads (llama-arch.cpp), written with values that nobody meant."""


class Mutant(NamedTuple):
    """A damaged file and how it was damaged."""

    label: str
    data: bytes


class Field(NamedTuple):
    """A number in the head of a file: where it is, how wide, and what it counts."""

    start: int
    size: int
    kind: str


@dataclass(frozen=True)
class Base:
    """A sound file, as bytes and taken apart."""

    data: bytes
    data_offset: int
    fields: list[Field]
    keys: list[Key]
    tensors: list[Tensor]

    @property
    def arch(self) -> str:
        """`general.architecture`."""
        return next(str(key.value) for key in self.keys if key.name == "general.architecture")


def load_base(path: Path) -> Base:
    """Take the file at `path` apart."""
    file = read_gguf(path)
    data = path.read_bytes()
    keys = []
    for name, value in file.metadata.items():
        if isinstance(value, GGUFArray):
            elements = value.raw_strings() or value.numbers()
            keys.append(Key(name, ValueType.ARRAY, elements, value.element_type))
        else:
            keys.append(Key(name, file.types[name], value))
    tensors = []
    for info in file.tensors.values():
        start = file.data_offset + info.offset
        stored = data[start : start + info.num_bytes]
        tensors.append(Tensor(info.name, info.shape, info.ggml_type.name, stored))
    return Base(data, file.data_offset, list(scan(data)), keys, tensors)


def scan(data: bytes) -> Iterator[Field]:
    """Every count, length, type, dimension and offset in the head of a sound file."""
    yield from (Field(4, 4, "version"), Field(8, 8, "count"), Field(16, 8, "count"))
    num_tensors, num_keys = unpack_from("<QQ", data, 8)
    position = 24
    for _ in range(num_keys):
        yield Field(position, 8, "length")
        position += 8 + unpack_from("<Q", data, position)[0]
        yield Field(position, 4, "type")
        kind = ValueType(unpack_from("<I", data, position)[0])
        position += 4
        count = 1
        if kind is ValueType.ARRAY:
            yield from (Field(position, 4, "type"), Field(position + 4, 8, "count"))
            number, count = unpack_from("<IQ", data, position)
            kind = ValueType(number)
            position += 12
        for index in range(count):
            size = 8 if kind is ValueType.STRING else SCALARS[kind].size
            if index < 3:
                yield Field(position, size, "length" if kind is ValueType.STRING else "value")
            position += size + (unpack_from("<Q", data, position)[0] if size == 8 else 0)
    for _ in range(num_tensors):
        yield Field(position, 8, "length")
        position += 8 + unpack_from("<Q", data, position)[0]
        yield Field(position, 4, "dims")
        dims = unpack_from("<I", data, position)[0]
        yield from (Field(position + 4 + 8 * index, 8, "dim") for index in range(dims))
        position += 4 + 8 * dims
        yield from (Field(position, 4, "tensor type"), Field(position + 4, 8, "offset"))
        position += 12


def mutants(base: Base, count: int, seed: int) -> Iterator[Mutant]:
    """`count` damaged copies; the same for the same seed."""
    rng = Random(seed)
    for index in range(count):
        name, mutate = MUTATIONS[index % len(MUTATIONS)]
        what, data = mutate(base, rng)
        yield Mutant(f"{name}: {what}", data)


def flip_head(base: Base, rng: Random) -> tuple[str, bytes]:
    """One to four bits of the head."""
    return _flip(base, rng, 0, base.data_offset)


def flip_data(base: Base, rng: Random) -> tuple[str, bytes]:
    """One to four bits of the weights."""
    return _flip(base, rng, base.data_offset, len(base.data))


def _flip(base: Base, rng: Random, low: int, high: int) -> tuple[str, bytes]:
    data = bytearray(base.data)
    places = [rng.randrange(low, high) for _ in range(rng.randint(1, 4))]
    for place in places:
        data[place] ^= 1 << rng.randrange(8)
    return f"at {places}", bytes(data)


def truncate(base: Base, rng: Random) -> tuple[str, bytes]:
    """Cut anywhere, or at the border of a field."""
    if rng.random() < 0.5:
        end = rng.randrange(len(base.data))
    else:
        end = rng.choice([field.start for field in base.fields] + [base.data_offset])
    return f"at {end} of {len(base.data)}", base.data[:end]


def plant_number(base: Base, rng: Random) -> tuple[str, bytes]:
    """A number from `HUGE` in the place of a count, length, dimension, type or value."""
    field = rng.choice(base.fields)
    number = rng.choice(HUGE) % (1 << 8 * field.size)
    data = bytearray(base.data)
    data[field.start : field.start + field.size] = number.to_bytes(field.size, "little")
    return f"{number} as {field.kind} at {field.start}", bytes(data)


def swap_type(base: Base, rng: Random) -> tuple[str, bytes]:
    """Another type code for a value or a tensor, the bytes as they were."""
    field = rng.choice([field for field in base.fields if "type" in field.kind])
    code = rng.randrange(-1, 45 if field.kind == "tensor type" else 14)
    data = bytearray(base.data)
    data[field.start : field.start + 4] = pack("<i", code)
    return f"{code} as {field.kind} at {field.start}", bytes(data)


def drop_or_double(base: Base, rng: Random) -> tuple[str, bytes]:
    """A key or a tensor left out, or written twice."""
    keys, tensors = list(base.keys), list(base.tensors)
    things: list[Key] | list[Tensor] = keys if rng.random() < 0.6 else tensors
    index = rng.randrange(len(things))
    what = f"{things[index].name}"
    if rng.random() < 0.7:
        del things[index]
        return f"without {what}", build_gguf(keys, tensors)
    things.insert(rng.randrange(len(things)), things[index])  # type: ignore[arg-type]
    return f"twice {what}", build_gguf(keys, tensors)


def change_value(base: Base, rng: Random) -> tuple[str, bytes]:
    """A key of the file with another value of the same type."""
    keys = list(base.keys)
    index = rng.randrange(len(keys))
    key = keys[index]
    if key.kind is ValueType.ARRAY:
        keys[index] = _changed_array(key, rng)
    else:
        keys[index] = replace(key, value=_odd_value(key.name, key.kind, rng))
    shown = repr(keys[index].value)[:40]
    return f"{key.name} = {shown}", build_gguf(keys, base.tensors)


def plant_key(base: Base, rng: Random) -> tuple[str, bytes]:
    """A key that the file may not have, with an odd value."""
    name, kind = rng.choice(PLANTED)
    name = name.format(arch=base.arch)
    value = _odd_value(name, kind, rng)
    keys = [key for key in base.keys if key.name != name] + [Key(name, kind, value)]
    return f"{name} = {value!r}", build_gguf(keys, base.tensors)


def change_architecture(base: Base, rng: Random) -> tuple[str, bytes]:
    """The same model under another architecture, with every key that one could ask for."""
    arch = rng.choice(sorted(GENERATES_TEXT))
    old = f"{base.arch}."
    keys = {}
    for key in base.keys:
        name = f"{arch}.{key.name.removeprefix(old)}" if key.name.startswith(old) else key.name
        keys[name] = replace(key, name=name)
    keys["general.architecture"] = Key("general.architecture", ValueType.STRING, arch)
    for name in FLOAT_NAMES:
        keys.setdefault(f"{arch}.{name}", Key(f"{arch}.{name}", ValueType.FLOAT32, 0.5))
    if rng.random() < 0.7:
        for name in rng.sample(SIZE_NAMES, len(SIZE_NAMES) * 3 // 4):
            size = 8 if "length" in name or "dim" in name else rng.choice((1, 2, 4))
            if "group" in name or name.startswith("expert_used"):
                continue
            keys.setdefault(f"{arch}.{name}", Key(f"{arch}.{name}", ValueType.UINT32, size))
    if rng.random() < 0.7:
        name = f"{arch}.{rng.choice(SIZE_NAMES)}"
        keys[name] = Key(name, ValueType.UINT32, rng.choice(NUMBERS))
    return arch, build_gguf(keys.values(), base.tensors)


def make_layered(base: Base, rng: Random) -> tuple[str, bytes]:
    """A hyper-parameter as an array, of the right or of another length."""
    names = ("attention.head_count", "attention.head_count_kv", "feed_forward_length")
    name = f"{base.arch}.{rng.choice((*names, 'rope.dimension_sections', 'block_count'))}"
    length = rng.choice((0, 1, 2, 3, 4, 600))
    kind = rng.choice((ValueType.UINT32, ValueType.INT32, ValueType.FLOAT32, ValueType.UINT8))
    value = [rng.choice((0, 1, 2, 4, 8, 64, 100)) for _ in range(length)]
    keys = [key for key in base.keys if key.name != name]
    keys.append(Key(name, ValueType.ARRAY, value, kind))
    return f"{name} = {value[:4]} x{length} {kind.name}", build_gguf(keys, base.tensors)


def change_tensor(base: Base, rng: Random) -> tuple[str, bytes]:
    """A tensor with another shape, type, name or content, in a file that is sound again."""
    tensors = list(base.tensors)
    index = rng.randrange(len(tensors))
    old = tensors[index]
    what = rng.choice(("shape", "type", "type", "rename", "fill"))
    if what == "shape":
        tensors[index] = _filled(old.name, _other_shape(old.shape, rng), old.kind, rng)
    elif what == "type":
        kinds = [GGML_TYPES[code].name for code in GGML_TYPES]
        tensors[index] = _filled(old.name, old.shape, rng.choice(kinds), rng)
    elif what == "rename":
        other = rng.choice(tensors).name
        tensors[index] = replace(old, name=rng.choice((other + "x", "blk.99" + old.name, "x" * 63)))
    else:
        tensors[index] = replace(old, data=rng.choice((b"\xff", b"\0", b"\x7f")) * len(old.data))
    new = tensors[index]
    return f"{what} {old.name}: {new.kind} {new.shape}", build_gguf(base.keys, tensors)


def _filled(name: str, shape: tuple[int, ...], kind: str, rng: Random) -> Tensor:
    block = GGML_TYPES[TYPE_CODES[kind]]
    row = -(-(shape[0] if shape else 1) // block.block_size) * block.block_size
    shape = (row, *shape[1:])
    num_bytes = math.prod(shape) // block.block_size * block.block_bytes
    return Tensor(name, shape, kind, rng.randbytes(num_bytes))


def _other_shape(shape: tuple[int, ...], rng: Random) -> tuple[int, ...]:
    choices = [
        shape[::-1],
        (*shape, 1),
        (*shape, 2)[:4],
        (math.prod(shape),),
        (*shape[:-1], max(1, shape[-1] // 2)),
        (shape[0] * 2, *shape[1:]),
        (1,),
        (),
    ]
    return rng.choice(choices)


def _odd_value(name: str, kind: ValueType, rng: Random) -> int | float | bool | str:
    if kind is ValueType.STRING:
        if name == "general.architecture":
            return rng.choice(sorted(KNOWN_ARCHITECTURES))
        if name == "tokenizer.ggml.pre":
            return rng.choice(sorted(PRE_TOKENIZERS))
        return rng.choice(TEXTS)
    if kind is ValueType.BOOL:
        return rng.random() < 0.5
    if kind in (ValueType.FLOAT32, ValueType.FLOAT64):
        return rng.choice(FLOATS)
    number = rng.choice(NUMBERS)
    bits = 8 * SCALARS[kind].size
    signed = kind.name.startswith("INT")
    return number % (1 << bits - 1) * rng.choice((1, -1)) if signed else number % (1 << bits)


def _changed_array(key: Key, rng: Random) -> Key:
    values: list[Any] = list(key.value)  # type: ignore[arg-type]
    what = rng.choice(("shorten", "empty", "repeat", "odd", "retype"))
    if what == "shorten":
        values = values[: rng.randrange(len(values) + 1)]
    elif what == "empty":
        values = []
    elif what == "repeat" and values:
        values[rng.randrange(len(values))] = values[rng.randrange(len(values))]
    elif what == "retype":
        return replace(key, value=[1] * len(values), element=rng.choice(tuple(SCALARS)))
    elif values:
        place = rng.randrange(len(values))
        odd = rng.choice(
            (b"", b"\0", b"a\0b", b"\xff\xfe", b"x" * 5000, b"<0x", b" ", "é".encode())
        )
        text = key.element is ValueType.STRING
        values[place] = odd if text else _odd_value(key.name, key.element, rng)
    return replace(key, value=values)


MUTATIONS: tuple[tuple[str, Callable[[Base, Random], tuple[str, bytes]]], ...] = (
    ("flip head", flip_head),
    ("flip data", flip_data),
    ("truncate", truncate),
    ("plant number", plant_number),
    ("swap type", swap_type),
    ("drop or double", drop_or_double),
    ("change value", change_value),
    ("plant key", plant_key),
    ("change value", change_value),
    ("layered", make_layered),
    ("change tensor", change_tensor),
    ("architecture", change_architecture),
    ("plant key", plant_key),
)
"""Taken in turn; those that reach deepest come twice."""
