"""One request on its way through the tiers: the driver around the pure parts.

`routing` chooses, `watch` judges, `outlet` lets out; here tiers are parked, resumed and stopped,
and every wait ends by the deadline. One task drives a flow.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence

from edge_llm.confidence.base import Score
from edge_llm.errors import (
    AnswerRejectedError,
    CloudTimeoutError,
    DeadlineExceededError,
    EdgeLLMError,
    RuntimeClosedError,
)
from edge_llm.routing.base import EscalationReason, Refusal
from edge_llm.runtime.attempt import TierAttempt
from edge_llm.runtime.cloud_attempt import CloudTierAttempt
from edge_llm.runtime.judging import continuation, is_approved, judging
from edge_llm.runtime.listening import GRACE_S, hear_both, patience_s
from edge_llm.runtime.outgoing import NOTHING_MORE, Extra
from edge_llm.runtime.request_state import DOUBTS, RequestState
from edge_llm.runtime.starting import in_time
from edge_llm.runtime.tiers import RemoteTier, Tier
from edge_llm.runtime.transcript import Piece
from edge_llm.runtime.watch import is_valid
from edge_llm.types import Chunk

WORTHLESS = (EscalationReason.EMPTY, EscalationReason.VALIDATOR)
"""Reasons for which even a draft that was given up is better than the answer after it."""


class Flow(RequestState):
    """Drives one request; `chunks` may be iterated once."""

    async def chunks(self) -> AsyncGenerator[Chunk]:
        """The answer in pieces, the last with the record; leaving early stops every tier.

        Raises:
            EdgeLLMError: what kept an answer from being given, or from being completed.
        """
        try:
            await self._begin(await self._starter.first())
            await self._look_before(self._working)
            while not self._is_done:
                for chunk in self._seen(await self._step()):
                    yield chunk
            last = await self._last_chunk()
            self._end(self._working, last)
            yield last
        finally:
            await self._stop_all()

    # One step

    async def _step(self) -> Sequence[Chunk]:
        try:
            return await self._listen(self._working)
        except DeadlineExceededError:
            return self._best_so_far()

    async def _listen(self, attempt: TierAttempt) -> Sequence[Chunk]:
        try:
            speaker, piece = await self._hear(attempt)
        except TimeoutError:
            return await self._out_of_patience(attempt)
        except EdgeLLMError as error:
            return await self._failed(attempt, error)
        chunks = speaker.transcript.add(piece)
        if speaker is self._rival:
            return self._hear_rival(speaker, piece, chunks)
        return await self._hear_draft(speaker, piece, chunks)

    async def _hear_draft(
        self, attempt: TierAttempt, piece: Piece, chunks: list[Chunk]
    ) -> Sequence[Chunk]:
        refusal = self._watches[attempt].look(attempt, piece)
        if attempt.is_over:
            refusal = await self._look_again(attempt, refusal)
        attempt.refusal = refusal if piece.finish_reason else refusal or attempt.refusal
        if refusal is not None:
            instead = await self._give_up(attempt, refusal, chunks)
            if instead is not None:
                return instead
        await self._maybe_race(attempt)
        seen = self._outlet.add(attempt.draft, chunks, piece.num_answer_tokens)
        return [*seen, *self._finish(attempt)] if attempt.is_over else seen

    async def _look_before(self, attempt: TierAttempt) -> None:
        """Let another tier begin where the request alone tells that this one would not do."""
        refusal = self._watches[attempt].look_before(attempt)
        if refusal is not None:
            attempt.refusal = refusal
            await self._give_up(attempt, refusal)

    async def _look_again(self, attempt: TierAttempt, refusal: Refusal | None) -> Refusal | None:
        """What a second look makes of a whole draft that another tier could still replace."""
        watch = self._watches[attempt]
        is_settled = attempt.draft.is_free or self._outlet.committed is attempt.draft
        if is_settled or (refusal is not None and refusal.reason not in DOUBTS):
            return refusal
        if not self._second.is_wanted(attempt, watch.score):
            return refusal
        seen = await self._second.look(attempt, watch.state(attempt))
        return refusal if seen is None else watch.look_again(attempt, seen)

    def _finish(self, attempt: TierAttempt) -> Sequence[Chunk]:
        """Let out all of an answer that has ended.

        Raises:
            AnswerRejectedError: it must not be let out.
        """
        if self._request.wants_json and not is_valid(attempt.transcript, self._starter.standards):
            raise AnswerRejectedError(
                "no tier gave an answer of the form that was asked for",
                hint="ask again, or allow a tier with the capability 'json_schema'",
            )
        self._is_done = True
        return self._outlet.finish(attempt.draft)

    def _seen(self, chunks: Sequence[Chunk]) -> Sequence[Chunk]:
        """What the caller gets now; from then on no other draft is needed."""
        if chunks:
            self._ledger.note_seen(was_held=self._outlet.has_held)
            for parked in self._parked:
                parked.stop()
            self._parked.clear()
            self._drop_rival()
        return chunks

    # Listening

    async def _hear(self, attempt: TierAttempt) -> tuple[TierAttempt, Piece]:
        limit = asyncio.timeout(patience_s(self._request, attempt))
        try:
            async with limit:
                if self._rival is None:
                    return attempt, await attempt.next()
                heard = await hear_both(attempt, self._rival)
                if self._rival.error is not None:
                    self._rival = None
                return heard
        except TimeoutError as late:
            if not limit.expired():  # not ours: a fault of the tier
                raise CloudTimeoutError("the tier timed out", phase="total") from late
            raise

    # Giving up

    async def _give_up(
        self, attempt: TierAttempt, refusal: Refusal, chunks: Sequence[Chunk] = ()
    ) -> Sequence[Chunk] | None:
        """Let another tier work on the request, where one can; None goes on with this one.

        `chunks` are the last of the draft, which nobody has seen yet.
        """
        if self._outlet.committed is attempt.draft:
            return await self._continue_elsewhere(attempt, refusal, chunks)
        if attempt.draft.is_free or self._is_awaited(attempt, refusal):
            return None
        tier = await self._starter.better(attempt)
        if isinstance(tier, RemoteTier) and self._wants_verdict(refusal):
            approved = await self._verdict(attempt, tier)
            if approved is not False:
                attempt.refusal = None if approved else refusal
                attempt.draft.is_free = True
                return None
            refusal = attempt.refusal = Refusal(EscalationReason.VERIFIER)
        if tier is None and self._rival is None:
            if self._parked and refusal.reason in WORTHLESS:
                self._ledger.note_outcome(attempt, "deferred")
                return self._resume(self._parked.pop())
            # Nothing can replace it: holding it back is of no more use to anybody.
            attempt.draft.is_free = True
            return None
        self._ledger.note_move(refusal)
        self._park(attempt, chunks)
        if self._rival is not None:
            self._current, self._rival = self._rival, None
            return []
        return await self._move_to(tier, self._extra(attempt, refusal))

    async def _move_to(self, tier: Tier | None, extra: Extra = NOTHING_MORE) -> Sequence[Chunk]:
        """Make a tier the current one; where it cannot even begin, what there is instead."""
        if tier is None:
            return []
        try:
            await self._begin(tier, extra)
        except DeadlineExceededError:
            raise
        except EdgeLLMError as error:
            return await self._fall_back(error)
        return []

    async def _verdict(self, attempt: TierAttempt, tier: RemoteTier) -> bool | None:
        """What a tier says of a whole draft; None when it cannot be asked."""
        judge = self._starter.ask(tier, judging(attempt.transcript.text))
        try:
            async with in_time(self._request):
                while not judge.is_over:
                    judge.transcript.add(await judge.next())
        except EdgeLLMError as error:
            judge.error = error
            return None
        finally:
            judge.stop()
        self._ledger.note_outcome(judge, "judged")
        return is_approved(judge.transcript.text)

    async def _continue_elsewhere(
        self, attempt: TierAttempt, refusal: Refusal, chunks: Sequence[Chunk]
    ) -> Sequence[Chunk] | None:
        """Let another tier go on after what the caller has seen, where one declares that it can."""
        if self._request.on_doubt != "continue" or self._interrupted or attempt.is_over:
            return None
        tier = await self._starter.better(attempt)
        if not isinstance(tier, RemoteTier) or not tier.can_continue:
            return None
        self._ledger.note_move(refusal)
        self._ledger.note_outcome(attempt, "deferred")
        attempt.park()
        draft = attempt.draft
        self._interrupted, draft.held = (attempt, [*draft.held, *chunks]), []
        await self._begin(tier, continuation(self._outlet.text), attempt)
        return []

    # Racing

    async def _maybe_race(self, attempt: TierAttempt) -> None:
        """Set the next tier to work beside a doubtful draft."""
        if self._request.on_doubt != "race" or self._rival is not None or attempt.is_over:
            return
        if self._outlet.committed is not None or attempt.draft.is_free:
            return
        score = self._watches[attempt].score
        if score is None or score.value >= score.doubt_line + self._settings.band:
            return
        tier = await self._starter.better(attempt)
        if isinstance(tier, RemoteTier):
            self._rival = self._starter.race(tier)
            self._watches[self._rival] = self._starter.watch(self._rival)

    def _hear_rival(self, rival: TierAttempt, piece: Piece, chunks: list[Chunk]) -> Sequence[Chunk]:
        """The first words of a rival win: the draft before them was neither seen nor finished."""
        if not (rival.is_over or any(chunk.text or chunk.tool_call for chunk in chunks)):
            rival.draft.held += chunks
            return []
        loser = self._working
        self._ledger.note_move(_doubt(self._watches[loser].score))
        self._park(loser, (), "lost")
        self._current, self._rival = rival, None
        seen = self._outlet.add(rival.draft, chunks, piece.num_answer_tokens)
        return [*seen, *self._finish(rival)] if rival.is_over else seen

    # Failing

    async def _failed(self, attempt: TierAttempt, error: EdgeLLMError) -> Sequence[Chunk]:
        """Go on without a tier that cannot answer.

        Raises:
            EdgeLLMError: nobody else can, or the caller has begun to see this tier's answer.
        """
        attempt.error = error
        attempt.stop()
        if isinstance(error, RuntimeClosedError):
            raise error
        if self._outlet.committed is attempt.draft:
            return self._resume_interrupted(attempt, error)
        if self._rival is not None:
            self._current, self._rival = self._rival, None
            return []
        tier = await self._starter.better(attempt)
        if tier is None:
            return await self._fall_back(error)
        self._ledger.note_move(Refusal(EscalationReason.TIER_ERROR, signal=error.code))
        return await self._move_to(tier)

    def _resume_interrupted(self, attempt: TierAttempt, error: EdgeLLMError) -> Sequence[Chunk]:
        if self._interrupted is None or attempt.transcript.text:
            raise error
        local, held = self._interrupted
        local.draft.held = held
        return self._resume(local)

    async def _fall_back(self, error: EdgeLLMError) -> Sequence[Chunk]:
        """What can still be answered here, flagged as the second best."""
        while self._parked:
            draft = self._parked.pop()
            if not draft.is_over or draft.transcript.text.strip() or draft.transcript.calls:
                return self._resume(draft)
        tier = await self._starter.any()
        if tier is None:
            raise error
        self._ledger.is_degraded = True
        self._ledger.note_move(Refusal(EscalationReason.TIER_ERROR, signal=error.code))
        await self._begin(tier)
        self._working.draft.is_free = True
        return []

    def _resume(self, draft: TierAttempt) -> Sequence[Chunk]:
        self._ledger.is_degraded = True
        self._current = draft
        seen = self._outlet.free(draft.draft)
        if draft.is_over:
            return [*seen, *self._finish(draft)]
        draft.resume()
        return seen

    # Ending

    async def _out_of_patience(self, attempt: TierAttempt) -> Sequence[Chunk]:
        """A tier had the time that was meant for it, or the request has had all of its own."""
        left_s = self._request.time_left_s
        if left_s is not None and left_s <= GRACE_S:
            return self._best_so_far()
        if isinstance(attempt, CloudTierAttempt):
            late = CloudTimeoutError("the tier took too long", phase="total")
            return await self._failed(attempt, late)
        attempt.refusal = Refusal(EscalationReason.DEADLINE, signal="no first token")
        return await self._give_up(attempt, attempt.refusal) or []

    def _best_so_far(self) -> Sequence[Chunk]:
        """What can be given now that time is over.

        Raises:
            DeadlineExceededError: nothing can.
        """
        candidates = [self._working, *reversed(self._parked)]
        committed = self._outlet.committed
        for one in candidates:
            fits = committed is None or one.draft is committed
            if fits and one.transcript.text.strip() and not self._request.wants_json:
                return self._cut_short(one)
        raise DeadlineExceededError("the deadline of the request has passed")

    def _cut_short(self, attempt: TierAttempt) -> Sequence[Chunk]:
        attempt.refusal = Refusal(EscalationReason.DEADLINE)
        attempt.stop()
        if attempt.transcript.finish_reason is None:
            attempt.transcript.finish_reason = "length"
        self._ledger.is_degraded = True
        self._current = attempt
        return self._finish(attempt)


def _doubt(score: Score | None) -> Refusal:
    if score is None:
        return Refusal(EscalationReason.LOW_CONFIDENCE)
    return Refusal(EscalationReason.LOW_CONFIDENCE, score.value, score.threshold, score.signal)
