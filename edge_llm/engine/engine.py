"""Token ids in, token ids and text out, many sequences at once.

Not thread-safe: `EngineLoop` gives it one thread of its own. Knows no chat, no cloud, no policy.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Mapping, Set
from collections.abc import Sequence as Items
from dataclasses import replace

from numpy import float32
from numpy.typing import NDArray

from edge_llm.backends.base import Backend, BatchItem, ForwardInterruptedError, KVCacheFullError
from edge_llm.constrain.compile import GrammarCompiler
from edge_llm.constrain.mask import TokenMask
from edge_llm.engine.commands import Keep, Share
from edge_llm.engine.disk_prefixes import DiskPrefixes
from edge_llm.engine.guide import create_guide
from edge_llm.engine.logits import LogitRow, Workspace
from edge_llm.engine.request import EngineRequest, SequenceEvent
from edge_llm.engine.scheduler import MAX_DECODE_SLOWDOWN, ScheduledChunk, Scheduler
from edge_llm.engine.sequence import Sequence, SequenceStatus, create_sequence
from edge_llm.engine.snapshots import SnapshotStore
from edge_llm.engine.statistics import self_certainty, token_statistics
from edge_llm.errors import (
    BackendError,
    ContextLengthExceededError,
    DeadlineExceededError,
    EdgeLLMError,
    GrammarError,
    InvalidParameterError,
    RequestAbortedError,
)
from edge_llm.types import FinishReason, TokenStatistics

MIN_INTERRUPTIBLE_TOKENS = 32
"""Fewer tokens take less than the 100 ms in which a cancelled request should be gone."""


class Engine:
    """Owns a backend and drives it step by step for all requests."""

    def __init__(
        self,
        backend: Backend,
        snapshots: SnapshotStore | None = None,
        *,
        max_decode_slowdown: float = MAX_DECODE_SLOWDOWN,
    ) -> None:
        self.backend = backend
        self.scheduler = Scheduler(backend.capabilities, max_decode_slowdown=max_decode_slowdown)
        self.disk = DiskPrefixes(backend, self.scheduler, snapshots) if snapshots else None
        self.is_aborted: Callable[[Set[int]], bool] = lambda running: False
        """Whether the end of any of these requests is wanted: asked during long forwards, from
        another thread. Whoever sets it aborts them before the next step."""
        self._sequences: dict[int, Sequence] = {}
        self._request_ids = itertools.count()
        self._workspace = Workspace()
        self.compiler = GrammarCompiler(backend.tokenizer)
        """Safe to use from other threads: what it knows already, `add_request` has at once."""
        self._early: list[SequenceEvent] = []
        """What happened before the next step, to be told with it."""

    @property
    def has_work(self) -> bool:
        """Whether `step` would do anything."""
        return self.scheduler.has_work or bool(self._early)

    @property
    def next_deadline_s(self) -> float | None:
        """The first deadline on `time.monotonic`, of a parked request too; None without any."""
        deadlines = (sequence.request.deadline_s for sequence in self._sequences.values())
        return min((deadline for deadline in deadlines if deadline is not None), default=None)

    def add_request(self, request: EngineRequest) -> int:
        """Queue a request and return its id.

        Raises:
            ContextLengthExceededError: prompt and `max_tokens` do not fit in the context.
            InvalidParameterError: no tokens, ids outside the vocabulary, or a negative number
                of statistics.
            GrammarError: the grammar cannot be used.
        """
        self._refuse_impossible(request)
        guide = create_guide(request, self.compiler)
        request_id = next(self._request_ids)
        sequence = create_sequence(
            request_id,
            request,
            guide,
            self.backend.tokenizer,
            self.backend.capabilities.max_model_len,
        )
        self._sequences[request_id] = sequence
        self.scheduler.add(sequence)
        if request.grammar is not None:
            try:
                self._open(sequence)
            except GrammarError:
                self._drop(sequence, keep=False)
                raise
        return request_id

    def abort(self, request_id: int) -> SequenceEvent | None:
        """End a request and free what it holds at once; None when it is not running any more."""
        sequence = self._sequences.get(request_id)
        if sequence is None:
            return None
        return self._fail(sequence, RequestAbortedError("the request was cancelled"))

    def park(self, request_id: int) -> None:
        """Set a request aside until `resume`; nothing happens when it is not under way.

        Its KV state stays in the prefix cache while there is room, then in a snapshot on disk; only
        where neither may hold it is it computed again. Its deadline goes on.
        """
        sequence = self._sequences.get(request_id)
        if sequence is None or sequence.status is SequenceStatus.PARKED:
            return
        command = self.scheduler.park(sequence)
        if command is not None:
            self.apply(command)

    def resume(self, request_id: int) -> None:
        """Go on with a parked request; nothing happens when it is not parked."""
        sequence = self._sequences.get(request_id)
        if sequence is not None and sequence.status is SequenceStatus.PARKED:
            self.scheduler.resume(sequence)

    def step(self) -> list[SequenceEvent]:
        """Run the model once over the next batch; what happened, in no particular order."""
        events, self._early = self._early, []
        events += [
            self._fail(sequence, DeadlineExceededError("the deadline of the request has passed"))
            for sequence in list(self._sequences.values())
            if sequence.is_expired
        ]
        self._admit()
        chunks = self.scheduler.schedule()
        if not chunks:
            return events
        started_s = time.perf_counter()
        try:
            logits = self._forward(chunks)
        except KVCacheFullError:
            return events + self._give_way(chunks)
        except ForwardInterruptedError:
            self._roll_back(chunks)
            return events
        except BackendError as error:
            return events + [self._fail(chunk.sequence, error) for chunk in chunks]
        self._observe(chunks, time.perf_counter() - started_s)
        return events + self._postprocess(chunks, logits)

    def clear_prefix_cache(self) -> None:
        """Free what finished sequences left behind, except for what is pinned or in use."""
        while (command := self.scheduler.evict()) is not None:
            self.apply(command)

    def close(self) -> None:
        """Forget all requests and close the backend."""
        for sequence in list(self._sequences.values()):
            self._drop(sequence, keep=False)
        if self.disk is not None:
            self.disk.close()
        self.backend.close()

    def apply(self, command: Keep | Share) -> None:
        """Carry a scheduler's command out, keeping on disk what a parked sequence would lose."""
        if self.disk is not None and isinstance(command, Keep) and command.parked:
            self.disk.keep_parked(command.seq_id, command.parked)
        command.apply(self.backend)

    def _refuse_impossible(self, request: EngineRequest) -> None:
        max_model_len = self.backend.capabilities.max_model_len
        max_tokens = request.params.max_tokens or 1
        if len(request.token_ids) + max_tokens > max_model_len:
            raise ContextLengthExceededError(
                prompt_tokens=len(request.token_ids),
                max_tokens=max_tokens,
                max_model_len=max_model_len,
            )
        if not request.token_ids:
            raise InvalidParameterError("the prompt is empty", hint="pass at least one token")
        if request.statistics is not None and request.statistics < 0:
            raise InvalidParameterError(
                f"statistics must be None, 0 or more, not {request.statistics}"
            )
        vocab_size = self.backend.tokenizer.vocab_size
        for token_id in itertools.chain(
            request.token_ids, request.params.logit_bias, request.watched_ids
        ):
            if not 0 <= token_id < vocab_size:
                raise InvalidParameterError(
                    f"token id {token_id} is outside the vocabulary of {vocab_size}"
                )

    def _forward(self, chunks: list[ScheduledChunk]) -> NDArray[float32]:
        batch = [_batch_item(chunk) for chunk in chunks]
        # A step without a long prompt in it ends sooner than asking whether it should would pay.
        if sum(chunk.num_tokens for chunk in chunks) < MIN_INTERRUPTIBLE_TOKENS:
            return self.backend.forward(batch)
        running = {chunk.sequence.request_id for chunk in chunks}
        return self.backend.forward(batch, lambda: self.is_aborted(running))

    def _roll_back(self, chunks: list[ScheduledChunk]) -> None:
        """Bring sequences back to what they were before a forward that did not end."""
        for sequence in (chunk.sequence for chunk in chunks):
            assert sequence.seq_id is not None, "it is running"
            if not self.backend.truncate(sequence.seq_id, sequence.num_computed):
                self.backend.free(sequence.seq_id)
                self.scheduler.stats.recomputed_tokens += sequence.num_computed
                self.scheduler.start_over(sequence)

    def _give_way(self, chunks: list[ScheduledChunk]) -> list[SequenceEvent]:
        """The backend has less room than was counted: cached prefixes go, then the youngest."""
        command = self.scheduler.reclaim()
        if command is None:
            error = BackendError("the KV cache is too small for a single sequence")
            return [self._fail(chunks[0].sequence, error)]
        self.apply(command)
        return []

    def _observe(self, chunks: list[ScheduledChunk], elapsed_s: float) -> None:
        num_prefill = sum(c.num_tokens for c in chunks if c.sequence.is_prefilling)
        num_decoding = sum(not c.sequence.is_prefilling for c in chunks)
        self.scheduler.pacer.observe(num_decoding, num_prefill, elapsed_s)

    def _postprocess(
        self, chunks: list[ScheduledChunk], logits: NDArray[float32]
    ) -> list[SequenceEvent]:
        rows = iter(logits)
        events = []
        # Decided before anything is counted: `completes` asks what was still to do.
        for chunk, completes in [(chunk, chunk.completes) for chunk in chunks]:
            chunk.sequence.num_computed += chunk.num_tokens
            if (command := self.scheduler.publish(chunk.sequence)) is not None:
                self.apply(command)
            if completes and chunk.sequence.request.prefill_only:
                events.append(self._end_prefill(chunk.sequence))
            elif completes:
                events.append(self._choose(chunk.sequence, next(rows)))
        return events

    def _admit(self) -> None:
        admission = self.scheduler.admit()
        for command in admission.commands:
            self.apply(command)
        if self.disk is not None:
            for sequence in admission.admitted:
                self.disk.offer(sequence)
                self.disk.restore(sequence)

    def _end_prefill(self, sequence: Sequence) -> SequenceEvent:
        if self.disk is not None and sequence.request.pinned:
            self.disk.keep(sequence)
        self._drop(sequence, keep=True)
        return SequenceEvent(
            sequence.request_id,
            finish_reason="stop",
            num_cached_tokens=sequence.num_cached_tokens,
        )

    def _choose(self, sequence: Sequence, logits: NDArray[float32]) -> SequenceEvent:
        request = sequence.request
        try:
            row = LogitRow(logits, self._workspace)
            mask = sequence.guide.mask()
            token_id = sequence.sampler.sample(row, mask)
            chosen = _statistics(request, row, token_id, mask)
            return self._extend(sequence, [token_id], chosen)
        except (BackendError, GrammarError) as error:
            return self._fail(sequence, error)

    def _open(self, sequence: Sequence) -> None:
        """Write what the grammar forces before anything is computed."""
        forced = sequence.guide.forced()
        if not (forced or sequence.guide.is_complete):
            return
        event = self._extend(sequence, forced, None)
        sequence.num_opening = len(event.token_ids)
        self._early.append(event)

    def _extend(
        self, sequence: Sequence, token_ids: Items[int], chosen: TokenStatistics | None
    ) -> SequenceEvent:
        """Append tokens and what they make necessary; `chosen` is about the first of them."""
        waiting = list(token_ids)
        added: list[int] = []
        text = ""
        finish: FinishReason | None = "stop" if sequence.guide.is_complete else None
        while waiting and finish is None:
            run = self._next_run(sequence, waiting)
            del waiting[: len(run)]
            piece, finish = self._append(sequence, run, waiting)
            added += run
            text += piece
            if finish != "stop":
                if not waiting and sequence.guide.is_complete:
                    finish = "stop"
                if not waiting and finish is None:
                    waiting.extend(sequence.guide.forced())
        if finish is not None:
            text += self._finish(sequence)
        uncounted = [None] * (len(added) - (chosen is not None))
        first = () if chosen is None else (chosen,)
        return SequenceEvent(
            sequence.request_id,
            tuple(added),
            text,
            finish,
            num_cached_tokens=None if finish is None else sequence.num_cached_tokens,
            statistics=() if sequence.request.statistics is None else (*first, *uncounted),
            spellings=self._spell(sequence.request, added, chosen),
            fits_grammar=None if finish is None else _fits(sequence, finish),
        )

    def _spell(
        self, request: EngineRequest, added: list[int], chosen: TokenStatistics | None
    ) -> Mapping[int, bytes]:
        if not request.spells:
            return {}
        ids = {*added, *(() if chosen is None else chosen.top_ids)}
        return {token_id: self.backend.tokenizer.token_bytes(token_id) for token_id in ids}

    def _next_run(self, sequence: Sequence, waiting: list[int]) -> list[int]:
        """The first of the waiting tokens: as many as can be taken together."""
        if not (sequence.guide.takes_runs and sequence.stop.is_empty):
            return waiting[:1]  # what each completes decides how it goes on
        run = waiting[: max(1, sequence.max_len - len(sequence.token_ids))]
        eog_ids = self.backend.tokenizer.eog_ids
        ends = (number for number, token_id in enumerate(run, 1) if token_id in eog_ids)
        return run[: next(ends, len(run))]

    def _append(
        self, sequence: Sequence, run: list[int], waiting: list[int]
    ) -> tuple[str, FinishReason | None]:
        """Add a run; its text, and why it ends the answer. What follows of it is to wait."""
        sequence.token_ids += run
        sequence.sampler.accept(*run)
        is_end = run[-1] in self.backend.tokenizer.eog_ids
        spoken = run[:-1] if is_end else run
        text = sequence.stop.add(sequence.detokenizer.add(*spoken))
        if sequence.stop.found is not None:
            return text, "stop"
        if spoken:
            waiting += sequence.guide.follow(spoken, text)
        if is_end:
            return text, "stop"
        return text, "length" if len(sequence.token_ids) >= sequence.max_len else None

    def _finish(self, sequence: Sequence) -> str:
        """Free the sequence; returns the text that was held back."""
        self._drop(sequence, keep=True)
        return sequence.stop.add(sequence.detokenizer.flush()) + sequence.stop.flush()

    def _fail(self, sequence: Sequence, error: EdgeLLMError) -> SequenceEvent:
        self._drop(sequence, keep=False)
        self._early = [event for event in self._early if event.request_id != sequence.request_id]
        return SequenceEvent(sequence.request_id, error=error)

    def _drop(self, sequence: Sequence, *, keep: bool) -> None:
        """Forget a sequence; its KV state may stay in the prefix cache."""
        del self._sequences[sequence.request_id]
        command = self.scheduler.finish(sequence, keep=keep)
        if command is not None:
            self.apply(command)


def _fits(sequence: Sequence, finish: FinishReason) -> bool | None:
    fits = sequence.guide.fits
    return fits and finish == "stop" and sequence.stop.found is None


def _statistics(
    request: EngineRequest, row: LogitRow, token_id: int, mask: TokenMask | None
) -> TokenStatistics | None:
    if request.statistics is None:
        return None
    found = token_statistics(row, token_id, request.statistics, request.watched_ids, mask)
    if not request.self_certainty:
        return found
    return replace(found, self_certainty=self_certainty(row, found.logsumexp))


def _batch_item(chunk: ScheduledChunk) -> BatchItem:
    sequence = chunk.sequence
    begin = sequence.num_computed
    assert sequence.seq_id is not None, "only running sequences are scheduled"
    return BatchItem(
        seq_id=sequence.seq_id,
        position=begin,
        token_ids=sequence.token_ids[begin : begin + chunk.num_tokens],
        num_outputs=1 if chunk.completes else 0,
    )
