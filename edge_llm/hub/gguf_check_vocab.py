"""Refuses vocabularies on which llama.cpp's tokenizers abort, hang or allocate without bound.

Follows src/llama-vocab.cpp (llama.cpp 0.5.0, commit 0c1e57098); the reason stands at each check.
"""

from __future__ import annotations

import ast
import math
import re
from collections import Counter

from edge_llm.errors import UnsupportedModelError, did_you_mean
from edge_llm.hub import gguf_architectures as known
from edge_llm.hub.gguf_file import GGUFFile
from edge_llm.hub.gguf_types import ValueType

TOKENS_KEY = "tokenizer.ggml.tokens"
BYTE_TOKEN = 6
"""LLAMA_TOKEN_TYPE_BYTE, llama.h."""

MAX_SQUARED_BYTES = 1 << 28
"""A token that cannot be decoded is copied once for each of its characters."""

TURN_ENDS = ("bos", "eos", "eot", "eom")
"""Special tokens that must exist where named; llama.cpp ignores a bad padding or unknown id."""

_BYTE_TEXT = re.compile(rb"<0x[0-9A-F]{2}>")


def check_vocabulary(file: GGUFFile) -> None:
    """Return when the tokenizer can be built and used on any text.

    Raises:
        UnsupportedModelError: a tokenizer that this llama.cpp does not have.
        ModelFormatError: a part is missing or contradicts another.
    """
    model = _check_model(file)
    tokens = _check_tokens(file)
    types = _check_attributes(file, len(tokens))
    if model in known.BPE_MODELS:
        _check_merges(file)
    if model == "llama":
        _require_byte_tokens(file, tokens)
    if model == "rwkv":
        _require_single_bytes(file, tokens)
    for token, kind in zip(tokens, types, strict=False):
        if kind == BYTE_TOKEN and not _BYTE_TEXT.fullmatch(token):
            raise file.error(f"the token {token!r} stands for a byte but is not like b'<0x0A>'")
    _check_special_ids(file, len(tokens))
    _check_additions(file, model, len(tokens))


def _check_model(file: GGUFFile) -> str:
    model = file.string("tokenizer.ggml.model")
    if model is None:
        raise file.error("it has no tokenizer: tokenizer.ggml.model is missing")
    if model not in known.TOKENIZER_MODELS:
        raise UnsupportedModelError(
            f"{str(file.path)!r} has a tokenizer of the kind {model!r}, which cannot be used",
            hint=did_you_mean(model, known.TOKENIZER_MODELS),
        )
    pre = file.string("tokenizer.ggml.pre")
    if pre and model in known.BPE_MODELS and pre not in known.PRE_TOKENIZERS:
        raise UnsupportedModelError(
            f"{str(file.path)!r} has the pre-tokenizer {pre!r}, unknown to llama.cpp 0.5.0",
            hint=did_you_mean(pre, known.PRE_TOKENIZERS),
        )
    if (pre == "whitespace") != (model == "whitespace") and model in known.BPE_MODELS:
        # Spaces would reach the merges, which asserts that there are none.
        raise file.error(f"the pre-tokenizer {pre!r} does not go with the tokenizer {model!r}")
    return model


def _check_tokens(file: GGUFFile) -> list[bytes]:
    """The tokens as llama.cpp sees them: cut at the first NUL, and never empty."""
    array = file.array(TOKENS_KEY, ValueType.STRING)
    if not array:
        raise file.error(f"it has no vocabulary: {TOKENS_KEY} is missing or empty")
    tokens = array.raw_strings()
    for index, token in enumerate(tokens):
        if not token or b"\0" in token:
            tokens[index] = token.partition(b"\0")[0] or b"[EMPTY_%d]" % index
    if len(set(tokens)) != len(tokens):
        # The loader asserts that texts and ids map one to one.
        double = Counter(tokens).most_common(1)[0][0]
        raise file.error(f"the token {double!r} is in the vocabulary twice")
    if sum(len(token) ** 2 for token in tokens) > MAX_SQUARED_BYTES:
        raise file.error("the vocabulary has tokens of many thousand bytes")
    return tokens


def _check_attributes(file: GGUFFile, num_tokens: int) -> list[int | float]:
    """The type of each token, or nothing where the file has none."""
    types = file.array("tokenizer.ggml.token_type", ValueType.INT32)
    scores = file.array("tokenizer.ggml.scores", ValueType.FLOAT32, ValueType.INT32)
    for name, array in (("token_type", types), ("scores", scores)):
        if array is not None and len(array) != num_tokens:
            raise file.error(
                f"tokenizer.ggml.{name} has {len(array)} values for {num_tokens} tokens"
            )
    if scores is not None and any(math.isnan(score) for score in scores.numbers()):
        raise file.error("tokenizer.ggml.scores has values that are not numbers")
    return types.numbers() if types is not None else []


def _check_merges(file: GGUFFile) -> None:
    merges = file.array("tokenizer.ggml.merges", ValueType.STRING)
    if merges is None and file.string("tokenizer.ggml.pre") != "kimi-k2":
        raise file.error("tokenizer.ggml.merges is missing")


def _require_byte_tokens(file: GGUFFile, tokens: list[bytes]) -> None:
    """Every byte can be spelled: `byte_to_token` throws through the C interface otherwise."""
    known_tokens = set(tokens)
    for byte in range(256):
        text = b"<0x%02X>" % byte
        if text not in known_tokens and bytes([byte]) not in known_tokens:
            raise file.error(f"the vocabulary has no token for the byte {text!r}")


def _require_single_bytes(file: GGUFFile, tokens: list[bytes]) -> None:
    """Every byte is a token: from a longer one, a search that fails starts over, for ever."""
    single = {raw for token in tokens if len(raw := _unescaped(token)) == 1}
    if len(single) != 256:
        raise file.error(f"the vocabulary spells {len(single)} of 256 single bytes")


def _unescaped(token: bytes) -> bytes:
    """An RWKV token without its escapes, which are those of a Python literal."""
    if b"\\" not in token:
        return token
    if len(token) > 4:
        return token
    try:
        value = ast.literal_eval(f'b"{token.decode("ascii")}"')
    except (SyntaxError, ValueError):
        return token
    return value if isinstance(value, bytes) else token


def _check_special_ids(file: GGUFFile, num_tokens: int) -> None:
    for name in TURN_ENDS:
        key = f"tokenizer.ggml.{name}_token_id"
        number = file.integer(key)
        if number is not None and number >= num_tokens:
            raise file.error(f"{key} is {number}, and the vocabulary ends at {num_tokens - 1}")


def _check_additions(file: GGUFFile, model: str, num_tokens: int) -> None:
    """A token that is added to every text must exist: llama.cpp asserts it while tokenising."""
    pre = file.string("tokenizer.ggml.pre") or ""
    if model == "gemma4":
        pre = "gemma4"
    default_bos, default_eos = known.DEFAULT_BOS_EOS[model]
    if pre in known.WITHOUT_DEFAULT_BOS:
        default_bos = None
    wants = {"bos": model == "llama" or (model in known.BPE_MODELS and pre in known.ADDS_BOS)}
    for name, default in (("bos", default_bos), ("eos", default_eos)):
        flag = _boolean(file, f"tokenizer.ggml.add_{name}_token")
        wanted = wants.get(name, False) if flag is None else flag
        wanted = wanted or (name == "bos" and pre in known.FORCES_BOS)
        number = file.integer(f"tokenizer.ggml.{name}_token_id")
        number = default if number is None else number
        if wanted and (number is None or number >= num_tokens):
            raise file.error(f"every text should have {name.upper()}, and no such token is named")


def _boolean(file: GGUFFile, key: str) -> bool | None:
    value = file.metadata.get(key)
    if value is not None and not isinstance(value, bool):
        raise file.error(f"{key} has the type {file.types[key].name}, not BOOL")
    return value
