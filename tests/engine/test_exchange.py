"""Who is tried again after a crash, who is told, and who is refused: without any process."""

import pytest

from edge_llm.engine.exchange import REFUSAL_S, Exchange, ExchangeBook
from edge_llm.errors import (
    EdgeLLMError,
    EngineCrashedError,
    RefusedRequestError,
    RequestAbortedError,
    RuntimeClosedError,
)


def exchange(question: str) -> Exchange:
    def fail(error: EdgeLLMError) -> None:
        raise AssertionError("the book itself calls nobody")

    return Exchange(lambda: {"question": question, "left_s": 1.0}, lambda packet: None, fail)


def book_with(*questions: str) -> tuple[ExchangeBook, list[Exchange]]:
    """A book whose exchanges have all been sent."""
    book, exchanges = ExchangeBook(), [exchange(question) for question in questions]
    for one in exchanges:
        book.add(one, now_s=0.0)
    assert send_all(book) == exchanges
    return book, exchanges


def send_all(book: ExchangeBook) -> list[Exchange]:
    sent = []
    while (one := book.next_to_send()) is not None:
        sent.append(one)
    return sent


def crash(book: ExchangeBook, now_s: float = 0.0) -> dict[int, type[EdgeLLMError]]:
    """Exchange ids and the errors they end with."""
    return {f.exchange.id: type(f.error) for f in book.crashed("died", now_s)}


def test_who_has_heard_nothing_is_tried_again_and_who_has_heard_something_is_told() -> None:
    book, (silent, heard) = book_with("a", "b")
    book.answered(heard.id, is_last=False)

    assert crash(book) == {heard.id: EngineCrashedError}
    assert send_all(book) == [silent]


def test_a_second_try_is_the_only_untested_one_in_the_engine() -> None:
    book, (one, other) = book_with("a", "b")
    crash(book)
    newcomer = exchange("c")
    book.add(newcomer, 0.0)

    assert send_all(book) == [one]
    book.answered(one.id, is_last=False)
    assert send_all(book) == [other]
    book.answered(other.id, is_last=True)
    assert send_all(book) == [newcomer]


def test_a_request_that_kills_twice_is_refused_and_its_neighbours_are_answered() -> None:
    book, (good, bad, also_good) = book_with("good", "bad", "also good")
    assert crash(book) == {}

    assert send_all(book) == [good]
    book.answered(good.id, is_last=True)
    assert send_all(book) == [bad]
    assert crash(book) == {bad.id: RefusedRequestError}

    assert send_all(book) == [also_good]
    book.answered(also_good.id, is_last=True)
    assert book.is_empty


def test_the_same_request_is_refused_when_it_comes_again_and_not_for_ever() -> None:
    book, (bad,) = book_with("bad")
    crash(book, now_s=1.0)
    send_all(book)
    crash(book, now_s=2.0)

    with pytest.raises(RefusedRequestError, match="ended the engine's process twice"):
        book.add(exchange("bad"), now_s=3.0)
    book.add(exchange("another"), now_s=3.0)
    book.add(exchange("bad"), now_s=3.0 + REFUSAL_S)
    assert bad.num_crashes == 2


def test_a_request_that_kills_late_is_known_by_dying_alone_twice() -> None:
    book = ExchangeBook()
    for _ in range(2):
        bad = exchange("bad")
        book.add(bad, 0.0)
        send_all(book)
        book.answered(bad.id, is_last=False)
        assert crash(book) == {bad.id: EngineCrashedError}

    with pytest.raises(RefusedRequestError):
        book.add(exchange("bad"), 0.0)


def test_crashes_in_company_blame_nobody() -> None:
    book = ExchangeBook()
    for _ in range(5):
        pair = [exchange("a"), exchange("b")]
        for one in pair:
            book.add(one, 0.0)
        send_all(book)
        for one in pair:
            book.answered(one.id, is_last=False)
        crash(book)

    book.add(exchange("a"), 0.0)


def test_a_cancelled_request_is_not_tried_again() -> None:
    book, (one,) = book_with("a")
    one.is_aborted = True

    assert crash(book) == {one.id: RequestAbortedError}
    assert book.is_empty


def test_replies_of_those_who_ended_are_ignored() -> None:
    book, (one,) = book_with("a")
    book.answered(one.id, is_last=True)

    assert book.answered(one.id, is_last=True) is None


def test_giving_up_ends_everyone_wherever_they_are() -> None:
    book, (heard, silent) = book_with("a", "b")
    book.answered(heard.id, is_last=False)
    crash(book)
    send_all(book)
    waiting = exchange("c")
    book.add(waiting, 0.0)

    ended = book.fail_all(RuntimeClosedError("closed"))

    assert {failure.exchange.id for failure in ended} == {silent.id, waiting.id}
    assert book.is_empty
    assert send_all(book) == []
