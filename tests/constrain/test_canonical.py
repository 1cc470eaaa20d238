"""Forced tokens are those that the tokenizer itself would use, with every vocabulary at hand."""

import json
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from edge_llm.backends.llama_cpp.tokenizer import open_vocabulary
from edge_llm.constrain.compile import GrammarCompiler
from edge_llm.constrain.grammar import Choice, Concat, Grammar, JsonObject, JsonSchema, Regex
from edge_llm.hub.packaged import models_folder
from edge_llm.prompt.byte_tokenizer import ByteTokenizer
from edge_llm.prompt.hf_tokenizer import HFTokenizer
from edge_llm.prompt.tokenizer import Tokenizer
from tests.support.vocabularies import vocabulary_path

PEERS = (
    "qwen2",
    "llama-bpe",
    "llama-spm",
    "phi-3",
    "gemma-4",
    "gpt-2",
    "deepseek-llm",
    "falcon",
    "starcoder",
    "command-r",
)


@pytest.fixture(scope="module", params=["bytes", "builtin-onnx", "builtin-gguf", *PEERS])
def tokenizer(request: pytest.FixtureRequest) -> Iterator[Tokenizer]:
    builtin = models_folder() / "builtin"
    with ExitStack() as stack:
        match request.param:
            case "bytes":
                yield ByteTokenizer()
            case "builtin-onnx":
                yield HFTokenizer(builtin / "onnx" / "tokenizer.json")
            case "builtin-gguf":
                path = builtin / "edge-llm-builtin-q8_0.gguf"
                yield stack.enter_context(open_vocabulary(path))
            case name:
                yield stack.enter_context(open_vocabulary(vocabulary_path(name)))


@pytest.fixture(scope="module")
def compiler(tokenizer: Tokenizer) -> GrammarCompiler:
    return GrammarCompiler(tokenizer)


TEXTS = [
    "Turn on the kitchen light, please.",
    '{"name":"HassLightSet","area":"living room","brightness":100}',
    "  two spaces\n\n\tand a tab  ",
    "naïve café, 東京, 🙂 done",
    "1234567890 and 3.14159",
]


def written(compiler: GrammarCompiler, grammar: Grammar, wanted: list[int]) -> list[int]:
    """The answer of a model that would write exactly these tokens, with forced ones forced."""
    state = compiler.compile(grammar).start()
    answer: list[int] = []
    while True:
        forced = list(state.forced())
        for token_id in forced:
            assert state.accept(token_id)
        answer += forced
        if state.is_complete or len(answer) >= len(wanted):
            return answer
        following = wanted[len(answer)]
        assert following in state.allowed().ids
        assert state.accept(following)
        answer.append(following)


@pytest.mark.parametrize("text", TEXTS)
def test_a_text_that_is_forced_as_a_whole_is_tokenised_as_ever(
    tokenizer: Tokenizer, compiler: GrammarCompiler, text: str
) -> None:
    state = compiler.compile(Choice((text,))).start()
    forced: list[int] = []
    while not state.is_complete:
        step = list(state.forced()) or state.allowed().ids.tolist()
        assert step
        forced += step
        assert all(state.accept(token_id) for token_id in step)

    assert forced == tokenizer.encode_inner(text)


CALL = {
    "type": "object",
    "properties": {
        "name": {"enum": ["HassTurnOn", "HassTurnOff", "HassLightSet"]},
        "area": {"enum": ["kitchen", "living room", "bedroom"]},
        "brightness": {"type": "integer", "minimum": 0, "maximum": 100},
        "note": {"type": "string"},
        "tags": {"type": "array", "items": {"type": "string"}},
    },
    "required": ["name", "area", "brightness"],
    "additionalProperties": False,
}
VALUES = [
    {"name": "HassTurnOn", "area": "kitchen", "brightness": 7},
    {"name": "HassLightSet", "area": "living room", "brightness": 100, "note": "soft, warm"},
    {"name": "HassTurnOff", "area": "bedroom", "brightness": 42, "note": "", "tags": []},
    {"name": "HassTurnOn", "area": "kitchen", "brightness": 0, "tags": ["a b", "été", "1 2"]},
]


@pytest.mark.parametrize("value", VALUES, ids=range(len(VALUES)))
def test_the_tokens_that_the_tokenizer_would_use_are_never_in_the_way_of_a_grammar(
    tokenizer: Tokenizer, compiler: GrammarCompiler, value: dict[str, object]
) -> None:
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=False)
    wanted = tokenizer.encode_inner(text)

    for grammar in (JsonSchema(CALL), JsonObject()):
        assert written(compiler, grammar, wanted) == wanted


def test_a_number_between_forced_words_stays_as_the_tokenizer_has_it(
    tokenizer: Tokenizer, compiler: GrammarCompiler
) -> None:
    grammar = Concat(
        ("It is ", Regex("[0-9]{1,3}"), " degrees in the ", Choice(("hall", "hallway")))
    )
    wanted = tokenizer.encode_inner("It is 21 degrees in the hallway")

    assert written(compiler, grammar, wanted) == wanted
