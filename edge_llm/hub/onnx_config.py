"""What the JSON files beside an ONNX model say of it; a value of a wrong type counts as absent.

`config.json` and `generation_config.json` come from transformers, `tokenizer_config.json` from its
tokenizers, `genai_config.json` from onnxruntime-genai.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from edge_llm.hub.onnx_folder import OnnxFolder

_SAMPLING = ("temperature", "top_k", "top_p", "min_p", "repetition_penalty")
_TEMPLATE_FILES = ("chat_template.jinja", "chat_template.json")
DEFAULT_CONTEXT = 2048
"""What a model can surely hold that does not say."""


@dataclass(frozen=True, slots=True)
class OnnxConfig:
    """Facts about a model that its graph does not hold."""

    architecture: str
    context_length: int
    """Tokens that the model was trained for."""
    chat_template: str | None
    sampling: Mapping[str, float]
    """The makers' recommendations, under the names of `SamplingParams`."""
    eos_ids: frozenset[int]
    """Tokens that end a turn, as far as they are given by number."""
    bos_token: str | None
    eos_token: str | None
    add_bos: bool | None
    """None where it is left to tokenizer.json."""
    unsure_token: str | None = None
    """Spelling of the token by which the model says that it does not know: `edge_llm.unsure_token`
    in `config.json`."""


def read_config(folder: OnnxFolder) -> OnnxConfig:
    """The facts in the files beside a model.

    Raises:
        ModelFormatError: one of them is no JSON.
    """
    config = folder.json("config.json")
    generation = folder.json("generation_config.json")
    tokens = folder.json("tokenizer_config.json")
    genai = _object(folder.json("genai_config.json"), "model")
    text = _object(config, "text_config")  # multimodal models keep the decoder's numbers here
    add_bos = tokens.get("add_bos_token")
    sources = (generation, genai, config, text)
    return OnnxConfig(
        architecture=_string(config, "model_type") or _string(genai, "type") or "onnx",
        context_length=_context_length(config, text, genai),
        chat_template=_chat_template(folder, tokens),
        sampling=_sampling(generation),
        eos_ids=frozenset(i for source in sources for i in _ids(source.get("eos_token_id"))),
        bos_token=_token(tokens.get("bos_token")),
        eos_token=_token(tokens.get("eos_token")),
        add_bos=add_bos if isinstance(add_bos, bool) else None,
        unsure_token=_string(config, "edge_llm.unsure_token") or None,
    )


def _context_length(*sources: Mapping[str, Any]) -> int:
    keys = ("max_position_embeddings", "n_positions", "max_seq_len", "context_length")
    found = [
        value
        for source in sources
        for key in keys
        if isinstance(value := source.get(key), int) and 0 < value < 1 << 31
    ]
    return found[0] if found else DEFAULT_CONTEXT


def _chat_template(folder: OnnxFolder, tokens: Mapping[str, Any]) -> str | None:
    source = folder.text(_TEMPLATE_FILES[0])
    if source is not None:
        return source
    value = folder.json(_TEMPLATE_FILES[1]).get("chat_template", tokens.get("chat_template"))
    if isinstance(value, list):  # several, each with a name
        named = {_string(item, "name"): _string(item, "template") for item in _objects(value)}
        return named.get("default") or next(iter(named.values()), None)
    return value if isinstance(value, str) else None


def _sampling(generation: Mapping[str, Any]) -> Mapping[str, float]:
    if generation.get("do_sample") is False:
        return MappingProxyType({"temperature": 0.0})
    # Without do_sample the other numbers are defaults that nobody chose.
    if generation.get("do_sample") is not True:
        return MappingProxyType({})
    return MappingProxyType(
        {
            key: value
            for key in _SAMPLING
            if isinstance(value := generation.get(key), int | float) and not isinstance(value, bool)
        }
    )


def _ids(value: object) -> Iterator[int]:
    for item in value if isinstance(value, list) else [value]:
        if isinstance(item, int) and not isinstance(item, bool) and item >= 0:
            yield item


def _token(value: object) -> str | None:
    """A token that is written as text, or as an object with its text."""
    if isinstance(value, dict):
        value = value.get("content")
    return value if isinstance(value, str) and value else None


def _object(source: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = source.get(key)
    return value if isinstance(value, dict) else {}


def _objects(values: list[Any]) -> list[Mapping[str, Any]]:
    return [value for value in values if isinstance(value, dict)]


def _string(source: Mapping[str, Any], key: str) -> str:
    value = source.get(key)
    return value if isinstance(value, str) else ""
