from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from edge_llm.prompt.byte_tokenizer import ByteTokenizer
from edge_llm.prompt.detokenize import Detokenizer, marker_ids


class PieceTokenizer(ByteTokenizer):
    """Token `i` is the `i`-th piece."""

    def __init__(self, pieces: list[bytes], *, adds_space_prefix: bool = False) -> None:
        super().__init__(())
        self._pieces = pieces
        self.vocab_size = len(pieces)
        self.adds_space_prefix = adds_space_prefix


def text_of(pieces: list[bytes], *, adds_space_prefix: bool = False) -> str:
    detokenizer = Detokenizer(PieceTokenizer(pieces, adds_space_prefix=adds_space_prefix))
    return "".join(map(detokenizer.add, range(len(pieces)))) + detokenizer.flush()


utf8_pieces = st.lists(st.one_of(st.binary(max_size=5), st.text(max_size=3).map(str.encode)))


@given(utf8_pieces)
def test_any_split_of_any_bytes_gives_the_text_of_the_whole(pieces: list[bytes]) -> None:
    assert text_of(pieces) == b"".join(pieces).decode("utf-8", "replace")


@given(utf8_pieces)
def test_at_most_three_bytes_are_held_back(pieces: list[bytes]) -> None:
    detokenizer = Detokenizer(PieceTokenizer(pieces))
    seen = ""
    for token_id in range(len(pieces)):
        seen += detokenizer.add(token_id)
        whole = b"".join(pieces[: token_id + 1])
        assert any(
            seen == whole[: len(whole) - held].decode("utf-8", "replace") for held in range(4)
        )


def test_invalid_bytes_never_stall_what_follows() -> None:
    detokenizer = Detokenizer(PieceTokenizer([b"\xff", b"a", b"\xe2\x82", b"b", b"\xf0\x9f"]))

    assert [detokenizer.add(i) for i in range(5)] == ["\ufffd", "a", "", "\ufffdb", ""]
    assert detokenizer.flush() == "\ufffd"


def test_long_tokens_are_kept() -> None:
    assert text_of([b" " * 80, b"x" * 300]) == " " * 80 + "x" * 300


def test_control_tokens_are_silent_unless_kept() -> None:
    tokenizer = ByteTokenizer()
    call, end = 260, 257
    keep = marker_ids(tokenizer)

    assert Detokenizer(tokenizer).add(call) == ""
    assert Detokenizer(tokenizer, keep).add(call) == "<tool_call>"
    assert Detokenizer(tokenizer, keep).add(end) == ""
    assert keep == {258, 259, 260, 261}


def test_user_defined_tokens_are_text() -> None:
    assert Detokenizer(ByteTokenizer((), user_defined=("<think>",))).add(256) == "<think>"


def test_one_leading_space_of_sentencepiece_is_dropped() -> None:
    assert text_of([b" Hi", b" you"], adds_space_prefix=True) == "Hi you"
    assert text_of([b"  Hi"], adds_space_prefix=True) == " Hi"
    assert text_of([b" ", b" Hi"], adds_space_prefix=True) == " Hi"
    assert text_of([b"Hi", b" you"], adds_space_prefix=True) == "Hi you"
    assert text_of([b" Hi"]) == " Hi"
