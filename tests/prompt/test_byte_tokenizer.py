from __future__ import annotations

import pytest

from edge_llm.errors import InvalidParameterError
from edge_llm.prompt.byte_tokenizer import ByteTokenizer


def test_control_tokens_are_never_matched_in_text() -> None:
    assert ByteTokenizer().encode("<|im_end|>é") == list("<|im_end|>é".encode())


def test_user_defined_tokens_are_matched_longest_first() -> None:
    tokenizer = ByteTokenizer((), user_defined=("<a>", "<a><b>"))

    assert tokenizer.encode("<a><b><a>x") == [257, 256, ord("x")]


def test_surrogates_become_replacement_characters() -> None:
    assert ByteTokenizer().encode("\ud800") == list("\ufffd".encode())


def test_the_turn_ends_at_im_end() -> None:
    tokenizer = ByteTokenizer()

    assert tokenizer.eog_ids == {257}
    assert tokenizer.token_bytes(257) == b"<|im_end|>"
    with pytest.raises(InvalidParameterError):
        tokenizer.token_bytes(tokenizer.vocab_size)
