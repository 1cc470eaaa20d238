from hypothesis import given
from hypothesis import strategies as st

from edge_llm.engine.stop import StopStrings

few_letters = st.text("ab<|\n", max_size=24)
stops = st.lists(st.text("ab<|\n", min_size=1, max_size=4), max_size=3)


def run(stop: list[str], pieces: list[str]) -> tuple[str, str | None]:
    matcher = StopStrings(stop)
    text = "".join(matcher.add(piece) for piece in pieces)
    return text + matcher.flush(), matcher.found


def first_to_complete(stop: list[str], text: str) -> tuple[str, str | None]:
    """The definition, the slow way: look after every character."""
    for end in range(len(text) + 1):
        hits = [s for s in stop if text[:end].endswith(s)]
        if hits:
            longest = max(hits, key=len)
            return text[: end - len(longest)], longest
    return text, None


@given(stops, few_letters, st.randoms(use_true_random=False))
def test_pieces_make_no_difference(stop: list[str], text: str, random: object) -> None:
    cuts = sorted(random.choices(range(len(text) + 1), k=3))  # type: ignore[attr-defined]
    pieces = [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]

    assert run(stop, pieces) == first_to_complete(stop, text)


@given(stops, few_letters)
def test_only_what_may_still_become_a_stop_string_is_held_back(stop: list[str], text: str) -> None:
    matcher = StopStrings(stop)
    shown = "".join(matcher.add(c) for c in text)
    held = matcher.flush()

    if matcher.found is None:
        assert shown + held == text
        assert held == "" or any(s.startswith(held) and s != held for s in stop)


def test_nothing_comes_after_a_stop_string() -> None:
    matcher = StopStrings(["END"])

    assert matcher.add("one END two") == "one "
    assert matcher.add("three") == ""
    assert matcher.flush() == ""
    assert matcher.found == "END"
