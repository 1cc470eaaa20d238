"""The tokenizer: a name is spelled alike wherever it stands, so that it can be copied."""

from __future__ import annotations

import itertools
import random

import pytest
from tokenizers import Tokenizer

from scripts.builtin.chat import SPECIAL_TOKENS, render_body, render_prompt
from scripts.builtin.domain import load_domain
from scripts.builtin.generator import Generator
from scripts.builtin.tokenizer import train_tokenizer
from scripts.builtin.words import Names, invented_texts, name_texts


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    drawn = itertools.islice(Generator("tokenizer"), 1500)
    texts = [render_body(message) for conversation in drawn for message in conversation.messages]
    return train_tokenizer(
        texts, [*name_texts(load_domain()), *invented_texts(load_domain(), 5000)]
    )


def tokens(tokenizer: Tokenizer, text: str) -> list[str]:
    found: list[str] = tokenizer.encode(text).tokens
    return found


@pytest.mark.parametrize("unseen", [None, False, True], ids=["listed", "invented", "unseen"])
def test_a_name_has_the_same_tokens_after_a_space_and_after_a_quote(
    tokenizer: Tokenizer, unseen: bool | None
) -> None:
    if unseen is None:
        names = sorted(set(name_texts(load_domain())))
    else:
        source = Names(random.Random(0), load_domain(), unseen=unseen)
        names = [source.phrase() for _ in range(500)]
    alike = 0
    for name in names:
        alone = tokens(tokenizer, name)
        assert tokens(tokenizer, f'="{name}",')[1:-1] == alone
        alike += tokens(tokenizer, f" {name}") == ["Ġ", *alone]

    # Words of unseen syllables may begin as no word of training does.
    assert alike / len(names) > (1 - 1e-9 if unseen is None else 0.95)


def test_frequent_words_take_their_space_along(tokenizer: Tokenizer) -> None:
    assert tokens(tokenizer, "so what") == ["so", "Ġwhat"]


def test_control_tokens_are_one_token_each(tokenizer: Tokenizer) -> None:
    for token in SPECIAL_TOKENS:
        assert tokens(tokenizer, f"a{token}b") == ["a", token, "b"]


def test_text_comes_back_as_it_was(tokenizer: Tokenizer) -> None:
    for conversation in itertools.islice(Generator("other"), 100):
        prompt = render_prompt(conversation.messages)
        ids = tokenizer.encode(prompt).ids

        assert tokenizer.decode(ids, skip_special_tokens=False) == prompt
