from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from edge_llm.backends.llama_cpp.tokenizer import LlamaTokenizer, open_vocabulary
from edge_llm.prompt.chat_template import ChatTemplate
from edge_llm.prompt.encode import PromptEncoder
from tests.prompt.models import MODELS, ModelCase
from tests.support.vocabularies import rename_tokens, template_source, vocabulary_path

OpenVocabulary = Callable[[str], LlamaTokenizer]


@pytest.fixture(scope="session")
def open_peer() -> Iterator[OpenVocabulary]:
    """Opens a peer vocabulary by name, once for all tests."""
    with ExitStack() as stack:
        opened: dict[str, LlamaTokenizer] = {}

        def open_named(name: str) -> LlamaTokenizer:
            pytest.importorskip("llama_cpp")
            if name not in opened:
                opened[name] = stack.enter_context(open_vocabulary(vocabulary_path(name)))
            return opened[name]

        yield open_named


@pytest.fixture(scope="session", params=MODELS, ids=lambda case: case.name)
def model_case(request: pytest.FixtureRequest) -> ModelCase:
    case: ModelCase = request.param
    return case


@pytest.fixture(scope="session")
def model_tokenizer(
    model_case: ModelCase, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[LlamaTokenizer]:
    pytest.importorskip("llama_cpp")
    path: Path = vocabulary_path(model_case.vocabulary)
    if model_case.renames:
        copy = tmp_path_factory.mktemp("vocabulary") / "renamed.gguf"
        rename_tokens(path, copy, model_case.renames)
        path = copy
    with open_vocabulary(path) as tokenizer:
        yield tokenizer


@pytest.fixture(scope="session")
def model_encoder(model_case: ModelCase, model_tokenizer: LlamaTokenizer) -> PromptEncoder:
    source = template_source(model_case.template)
    return PromptEncoder(model_tokenizer, ChatTemplate.for_tokenizer(source, model_tokenizer))
