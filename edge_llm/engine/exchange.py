"""Who waits for what from an engine worker, and what becomes of them when it dies.

Pure bookkeeping, without processes, threads or clocks of its own. After a crash, those who have
heard nothing yet are tried once more, each as the only untested one, so that a request that kills
the engine is told from its neighbours; whoever has heard something gets an error.
"""

from __future__ import annotations

import hashlib
import itertools
import json
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass, field

from edge_llm.engine.wire import Packet
from edge_llm.errors import (
    EdgeLLMError,
    EngineCrashedError,
    RefusedRequestError,
    RequestAbortedError,
)

REFUSAL_S = 600.0
"""How long a request that killed the engine twice stays refused: memory pressure, which kills too,
passes."""

MAX_SUSPECTS = 64
"""How many different requests are remembered for having been alone with a dying engine."""


@dataclass(eq=False, slots=True)
class Exchange:
    """One question to the worker and the callbacks that hear what comes of it."""

    pack: Callable[[], Packet]
    """The question, made when it is sent: a deadline may have come nearer since it was asked."""
    receive: Callable[[Packet], None]
    fail: Callable[[EdgeLLMError], None]
    """Hears the end, where it is not an answer of the worker's."""
    id: int = -1
    num_crashes: int = 0
    has_answered: bool = False
    is_aborted: bool = False
    commands: list[str] = field(default_factory=list)
    """What was asked of it while it still waited to be sent."""

    def digest(self) -> str:
        """The same for the same question, whoever asks and however much time it has."""
        packet = self.pack()
        packet.pop("left_s", None)
        return hashlib.sha256(json.dumps(packet, sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Failure:
    """An exchange that has ended without an answer; its `fail` is yet to be called."""

    exchange: Exchange
    error: EdgeLLMError

    def tell(self) -> None:
        """Call the listener."""
        self.exchange.fail(self.error)


class ExchangeBook:
    """All exchanges with one worker, over all the processes that it was. Not thread-safe."""

    def __init__(self) -> None:
        self._ids = itertools.count()
        self._waiting: deque[Exchange] = deque()
        self._retries: deque[Exchange] = deque()
        self._sent: dict[int, Exchange] = {}
        self._on_trial: Exchange | None = None
        self._blame: OrderedDict[str, tuple[int, float]] = OrderedDict()

    @property
    def is_empty(self) -> bool:
        """Whether nobody waits for anything."""
        return not (self._waiting or self._retries or self._sent)

    def add(self, exchange: Exchange, now_s: float) -> None:
        """Take a new exchange.

        Raises:
            RefusedRequestError: it killed the engine twice, not long ago.
        """
        if self._blame:  # else there is nothing to compare with
            count, when_s = self._blame.get(exchange.digest(), (0, 0.0))
            if count >= 2 and now_s - when_s < REFUSAL_S:
                raise _refused()
        exchange.id = next(self._ids)
        self._waiting.append(exchange)

    def next_to_send(self) -> Exchange | None:
        """The next exchange that may go to the worker, now counted as sent."""
        if self._on_trial is not None:
            return None
        if self._retries:
            self._on_trial = exchange = self._retries.popleft()
        elif self._waiting:
            exchange = self._waiting.popleft()
        else:
            return None
        self._sent[exchange.id] = exchange
        return exchange

    def is_sent(self, exchange: Exchange) -> bool:
        """Whether the worker knows of it."""
        return exchange.id in self._sent

    def answered(self, exchange_id: int, *, is_last: bool) -> Exchange | None:
        """Note a reply and return whose it is; None when nobody waits for it any more."""
        exchange = self._sent.get(exchange_id)
        if exchange is None:
            return None
        exchange.has_answered = True
        if exchange is self._on_trial:
            self._on_trial = None
        if is_last:
            del self._sent[exchange_id]
        return exchange

    def withdraw(self, exchange: Exchange) -> bool:
        """Forget an exchange that was not sent yet; False when it was, or has ended."""
        for queue in (self._waiting, self._retries):
            if exchange in queue:
                queue.remove(exchange)
                return True
        return False

    def crashed(self, how: str, now_s: float) -> list[Failure]:
        """The worker died: who was with it, less those who get a second try."""
        victims = list(self._sent.values())
        on_trial, self._on_trial = self._on_trial, None
        self._sent.clear()
        if on_trial is not None or len(victims) == 1:
            self._note(on_trial or victims[0], now_s)
        return [failure for victim in victims if (failure := self._judge(victim, how)) is not None]

    def fail_all(self, error: EdgeLLMError) -> list[Failure]:
        """Give up on everyone."""
        everyone = [*self._sent.values(), *self._retries, *self._waiting]
        self._sent.clear()
        self._retries.clear()
        self._waiting.clear()
        self._on_trial = None
        return [Failure(exchange, error) for exchange in everyone]

    def _judge(self, victim: Exchange, how: str) -> Failure | None:
        victim.num_crashes += 1
        if victim.is_aborted:
            return Failure(victim, RequestAbortedError("the request was cancelled"))
        if victim.has_answered:
            error = EngineCrashedError(f"the engine {how}", hint="it starts again; ask again")
            return Failure(victim, error)
        if victim.num_crashes >= 2:
            return Failure(victim, _refused())
        self._retries.append(victim)
        return None

    def _note(self, suspect: Exchange, now_s: float) -> None:
        """Remember who was the only possible cause."""
        digest = suspect.digest()
        # What died in company before it died alone has killed twice as well.
        count = max(self._blame.pop(digest, (0, 0.0))[0] + 1, suspect.num_crashes + 1)
        self._blame[digest] = (count, now_s)
        while len(self._blame) > MAX_SUSPECTS:
            self._blame.popitem(last=False)


def _refused() -> RefusedRequestError:
    return RefusedRequestError(
        "this request ended the engine's process twice and is refused",
        hint="change the request; if another model answers it, this one's file may be at fault",
    )
