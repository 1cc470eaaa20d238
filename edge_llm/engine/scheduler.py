"""Which tokens of which sequences go through the model in the next step, and with which KV state.

Continuous batching: those who speak get one token each, what is left of the batch goes to prompts
in the order they came, in chunks. A finished sequence stays in the prefix cache for the next one
that begins alike. When cells run out the cache gives way first, then the youngest sequence, which
starts again later. Knows lengths, ids and cell counts, no model.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from edge_llm.backends.base import Capabilities
from edge_llm.engine.commands import Keep, Share
from edge_llm.engine.pacer import PrefillPacer
from edge_llm.engine.prefix_cache import Eviction, PrefixCache, PrefixMatch
from edge_llm.engine.sequence import Sequence, SequenceStatus

MAX_DECODE_SLOWDOWN = 3.0
"""See `EdgeConfig.max_decode_slowdown`."""

MIN_SHARED_TOKENS = 32
"""Fewer tokens are computed sooner than another sequence's prompt is waited for."""


@dataclass(frozen=True, slots=True)
class ScheduledChunk:
    """The next `num_tokens` uncomputed tokens of a sequence."""

    sequence: Sequence
    num_tokens: int

    @property
    def completes(self) -> bool:
        """Whether the sequence's next token can be chosen after this chunk."""
        return self.num_tokens == self.sequence.num_uncomputed


@dataclass(slots=True)
class SchedulerStats:
    """Counts since the engine began."""

    num_preemptions: int = 0
    prompt_tokens: int = 0
    """Tokens of all prompts admitted."""
    cached_tokens: int = 0
    """Those of them whose KV state was there already."""
    recomputed_tokens: int = 0
    """Tokens whose KV state was given up, by preemption or interruption, to be computed again."""
    num_evictions: int = 0


@dataclass(slots=True)
class Admission:
    """What happens before a forward: commands for the backend in order, and who starts."""

    commands: list[Keep | Share] = field(default_factory=list)
    admitted: list[Sequence] = field(default_factory=list)


class Scheduler:
    """Owns the waiting and running sequences, the prefix cache, sequence ids and cell counts."""

    def __init__(
        self, capabilities: Capabilities, *, max_decode_slowdown: float = MAX_DECODE_SLOWDOWN
    ) -> None:
        self._limits = capabilities
        self.pacer = PrefillPacer(max_decode_slowdown)
        self._free_seq_ids = list(range(capabilities.num_seq_ids - 1, -1, -1))
        self._caches = capabilities.num_seq_ids > capabilities.max_num_seqs
        self._copies = capabilities.can_truncate and not capabilities.can_share_prefix
        """Every sequence has cells of its own: a prefix is copied, or taken over as a whole."""
        self._publishes = self._caches and not self._copies
        self.cache = PrefixCache(can_truncate=capabilities.can_truncate)
        self.waiting: deque[Sequence] = deque()
        self.running: list[Sequence] = []
        """In order of arrival."""
        self.parked: list[Sequence] = []
        self.stats = SchedulerStats()
        self._admits = True

    @property
    def has_work(self) -> bool:
        """Whether any sequence is unfinished."""
        return bool(self.running or self.waiting)

    @property
    def num_used_cells(self) -> int:
        """KV cells that running sequences and cached prefixes hold."""
        return self.cache.num_cells + sum(s.num_computed - s.num_shared for s in self.running)

    def add(self, sequence: Sequence) -> None:
        """Queue a new sequence."""
        self.waiting.append(sequence)

    def admit(self) -> Admission:
        """Make room for those who run, and start those who wait; counted as carried out."""
        admission = Admission()
        self._make_room_to_speak(admission)
        if self._admits:
            self._admit(admission)
        return admission

    def schedule(self) -> list[ScheduledChunk]:
        """The next batch: a token for each that speaks, the rest of it for prompts in order."""
        budget = min(
            self._limits.max_num_batched_tokens, self._limits.num_kv_cells - self.num_used_cells
        )
        speaking = [s for s in self.running if not s.is_prefilling]
        prefill = self.pacer.budget(len(speaking))
        chunks: list[ScheduledChunk] = []
        for sequence in [*speaking, *(s for s in self.running if s.is_prefilling)]:
            num_tokens = min(sequence.num_uncomputed, budget, self._to_checkpoint(sequence))
            if sequence.is_prefilling and prefill is not None:
                num_tokens = min(num_tokens, prefill)
                prefill -= num_tokens
            if num_tokens > 0:
                chunks.append(ScheduledChunk(sequence, num_tokens))
                budget -= num_tokens
        return chunks

    def _to_checkpoint(self, sequence: Sequence) -> int:
        """Tokens up to where a state that cannot be rolled back is to be kept; else no limit."""
        left = sequence.num_prompt_tokens - 1 - sequence.num_computed
        if self._limits.can_truncate or not self._may_publish(sequence):
            return sequence.num_uncomputed
        new = sequence.num_prompt_tokens - 1 - sequence.num_shared
        return left if left > 0 and new >= MIN_SHARED_TOKENS else sequence.num_uncomputed

    @property
    def has_free_seq_id(self) -> bool:
        """Whether a sequence id can be borrowed."""
        return bool(self._free_seq_ids)

    @contextmanager
    def borrowed_seq_id(self) -> Iterator[int]:
        """An unused sequence id for a moment; it must be empty again at the end."""
        seq_id = self._free_seq_ids.pop()
        try:
            yield seq_id
        finally:
            self._free_seq_ids.append(seq_id)

    def has_room(self, num_cells: int) -> bool:
        """Whether so many cells are free now."""
        return self.num_used_cells + num_cells <= self._limits.num_kv_cells

    def start_over(self, sequence: Sequence) -> None:
        """Count a running sequence as empty again."""
        self._unlock(sequence)
        self.stats.cached_tokens -= sequence.num_cached_tokens or 0
        sequence.num_computed = sequence.num_shared = sequence.num_cached_tokens = 0

    def adopt(self, sequence: Sequence, num_tokens: int) -> None:
        """Count the first tokens of an empty running sequence as found in a cache."""
        sequence.num_computed = num_tokens
        sequence.num_cached_tokens = min(num_tokens, sequence.num_prompt_tokens)
        self.stats.cached_tokens += sequence.num_cached_tokens

    def publish(self, sequence: Sequence) -> Share | None:
        """Let others begin with the prompt of a running sequence that has just been computed.

        Its cells become the cache's, and it goes on as one that found them there. State that cannot
        be rolled back is kept one token before the prompt's end: the same prompt, asked again,
        needs that token's logits.
        """
        num_new = sequence.num_computed - sequence.num_shared
        # What a grammar forced after the prompt was computed with it.
        more = sequence.num_opening if self._limits.can_truncate else -1
        end = sequence.num_prompt_tokens + more
        if sequence.num_computed != end or num_new < MIN_SHARED_TOKENS:
            return None
        if not (self._free_seq_ids and self._may_publish(sequence)):
            return None
        tokens, seq_id = sequence.token_ids[: sequence.num_computed], self._free_seq_ids[-1]
        if not self.cache.insert_prefix(tokens, seq_id, num_shared=sequence.num_shared):
            return None  # another was quicker
        self._free_seq_ids.pop()
        match = self.cache.lock(tokens)
        self._unlock(sequence)
        sequence.match, sequence.num_shared = match, match.num_tokens
        assert sequence.seq_id is not None, "it is running"
        return Share(sequence.seq_id, seq_id, match.num_tokens)

    def _may_publish(self, sequence: Sequence) -> bool:
        # A prompt that is only computed is kept as it ends.
        return self._publishes and sequence.may_share and not sequence.request.prefill_only

    def finish(self, sequence: Sequence, *, keep: bool) -> Keep | None:
        """Take a sequence out wherever it is; its KV state is kept for others if that is asked."""
        command = self._take_out(sequence, keep=keep)
        sequence.status = SequenceStatus.FINISHED
        return command

    def park(self, sequence: Sequence) -> Keep | None:
        """Set a sequence aside; its KV state stays in the prefix cache while there is room."""
        command = self._take_out(sequence, keep=True)
        sequence.num_computed = sequence.num_shared = 0
        sequence.status = SequenceStatus.PARKED
        self.parked.append(sequence)
        return command

    def resume(self, sequence: Sequence) -> None:
        """Queue a parked sequence again, before those that have not begun."""
        sequence.status = SequenceStatus.WAITING
        self.parked.remove(sequence)
        self.waiting.appendleft(sequence)

    def _take_out(self, sequence: Sequence, *, keep: bool) -> Keep | None:
        self._admits = True
        if sequence.status is SequenceStatus.RUNNING:
            return self._retire(sequence, keep=keep and self._caches)
        if sequence.status is SequenceStatus.WAITING:
            self.waiting.remove(sequence)
        elif sequence.status is SequenceStatus.PARKED:
            self.parked.remove(sequence)
        return None

    def reclaim(self) -> Keep | None:
        """Free some cells: of cached prefixes, else of the youngest sequence; None when none can.

        State that cannot be rolled back is held once more by whoever shares it: a sequence that
        runs alone gives that up and starts again without. Where nothing else is left, pinned
        prefixes go as well: nobody may wait for ever.
        """
        if (command := self.evict()) is not None:
            return command
        holds_twice = not self._limits.can_truncate and any(s.match for s in self.running)
        if len(self.running) > 1 or holds_twice:
            return self._preempt(self.running[-1])
        return self.evict() if self.cache.unpin() else None

    def _preempt(self, sequence: Sequence) -> Keep | None:
        """Send a sequence back to wait; with others still running, until one of them finishes."""
        command = self._retire(sequence, keep=False)
        self.stats.num_preemptions += 1
        self.stats.recomputed_tokens += sequence.num_computed
        sequence.status = SequenceStatus.WAITING
        sequence.num_computed = sequence.num_shared = 0
        self.waiting.appendleft(sequence)
        # Let in again at once, it would only be thrown out again.
        self._admits = not self.running
        sequence.may_share = bool(self.running)
        return command

    def evict(self) -> Keep | None:
        """Give up the cached prefix that was used longest ago; None when none can go."""
        return self._carry_out(self.cache.evict())

    def _carry_out(self, eviction: Eviction | None) -> Keep | None:
        if eviction is None:
            return None
        self.stats.num_evictions += 1
        if eviction.keep == 0:
            self._free_seq_ids.append(eviction.seq_id)
        return Keep(eviction.seq_id, eviction.keep, self._parked_tokens(eviction.tokens))

    def _parked_tokens(self, tokens: tuple[int, ...]) -> tuple[int, ...]:
        """`tokens`, where a parked sequence would have to compute them again."""
        wanted = any(tokens == tuple(s.token_ids[: len(tokens)]) for s in self.parked)
        return tokens if wanted else ()

    def check_integrity(self) -> None:
        """Assert that every id is held exactly once; tests call it between steps."""
        self.cache.check_integrity()
        held = [s.seq_id for s in self.running if s.seq_id is not None]
        everything = sorted([*held, *self._free_seq_ids, *self.cache.seq_ids])
        assert everything == list(range(self._limits.num_seq_ids))
        assert all(s.status is SequenceStatus.RUNNING for s in self.running)
        assert all(s.status is SequenceStatus.WAITING for s in self.waiting)
        assert all(s.status is SequenceStatus.PARKED for s in self.parked)

    def _make_room_to_speak(self, admission: Admission) -> None:
        """Free cells until every running sequence can take at least one token more."""
        while self.num_used_cells + len(self.running) > self._limits.num_kv_cells:
            command = self.reclaim()
            if command is None:
                return
            admission.commands.append(command)

    def _admit(self, admission: Admission) -> None:
        """Start waiting sequences, first come first served, while ids and cells last."""
        for sequence in list(self.waiting):
            if len(self.running) >= self._limits.max_num_seqs:
                return
            if self._awaits_prefix(sequence):
                continue
            match = self._match(sequence)
            if match and self._copies and self._take_over(sequence, match):
                admission.admitted.append(sequence)
                continue
            shared = match.num_tokens if match else 0
            if not self._free_up(len(sequence.token_ids) + 1 - shared, admission):
                if match:
                    self.cache.release(match.node)
                return
            self.waiting.remove(sequence)
            sequence.seq_id = self._free_seq_ids.pop()
            sequence.status = SequenceStatus.RUNNING
            sequence.match = match
            self.running.append(sequence)
            if match:
                sequence.num_computed = sequence.num_shared = shared
                source = self.cache.holder(match.node)
                admission.commands.append(Share(source, sequence.seq_id, match.num_tokens))
                if self._copies:
                    self._unlock(sequence)
                    sequence.num_shared = 0
            admission.admitted.append(sequence)
            self._count(sequence)

    def _take_over(self, sequence: Sequence, match: PrefixMatch) -> bool:
        """Start a sequence in the cells of an entry that it continues; False where others do too.

        The next turn of a conversation then costs no copy and no second set of cells.
        """
        seq_id = self.cache.take(match)
        if seq_id is None:
            return False
        self.waiting.remove(sequence)
        sequence.seq_id = seq_id
        sequence.status = SequenceStatus.RUNNING
        sequence.num_computed, sequence.num_shared = match.num_tokens, 0
        self.running.append(sequence)
        self._count(sequence)
        return True

    def _awaits_prefix(self, sequence: Sequence) -> bool:
        """Whether a prompt that is being computed begins as this one does, and will be shared."""
        computing = [s for s in self.running if s.is_prefilling and s.may_share]
        shares_anywhere = self._publishes and self._limits.can_truncate
        if not (shares_anywhere and computing and sequence.may_share):
            return False
        found = self.cache.num_matching(sequence.token_ids)
        least = found + MIN_SHARED_TOKENS
        beginning = sequence.token_ids[:least]
        return len(sequence.token_ids) > least and any(
            s.num_prompt_tokens >= least and s.token_ids[:least] == beginning for s in computing
        )

    def _free_up(self, num_cells: int, admission: Admission) -> bool:
        """Evict until a sequence that needs `num_cells` can start; whether it can.

        What the running still have to compute is as good as taken, but a lone sequence always
        starts: its length was checked against the context.
        """
        while True:
            promised = sum(len(s.token_ids) + 1 - s.num_shared for s in self.running)
            room = self._limits.num_kv_cells - self.cache.num_cells - promised
            if self._free_seq_ids and room >= num_cells:
                return True
            command = None
            if not self._free_seq_ids:
                command = self._carry_out(self.cache.evict_inner())
            command = command or self.evict()
            if command is not None:
                admission.commands.append(command)
            elif self.running or self._free_seq_ids or not self.cache.unpin():
                return bool(self._free_seq_ids) and not self.running

    def _count(self, sequence: Sequence) -> None:
        if sequence.num_cached_tokens is None:
            # The forced opening of an answer may have been found there too.
            sequence.num_cached_tokens = min(sequence.num_computed, sequence.num_prompt_tokens)
            self.stats.prompt_tokens += sequence.num_prompt_tokens
            self.stats.cached_tokens += sequence.num_cached_tokens

    def _match(self, sequence: Sequence) -> PrefixMatch | None:
        if not self._caches or not sequence.may_share:
            return None
        return self.cache.match_prefix(sequence.token_ids)

    def _unlock(self, sequence: Sequence) -> None:
        if sequence.match is not None:
            self.cache.release(sequence.match.node)
            sequence.match = None

    def _retire(self, sequence: Sequence, *, keep: bool) -> Keep | None:
        """Take a sequence out of the running ones; frees its id unless the cache keeps it."""
        self.running.remove(sequence)
        seq_id, sequence.seq_id = sequence.seq_id, None
        assert seq_id is not None, "a running sequence holds an id"
        kept = (
            keep
            and sequence.num_computed > 0
            and self.cache.insert_prefix(
                sequence.token_ids[: sequence.num_computed],
                seq_id,
                num_shared=sequence.num_computed if self._copies else sequence.num_shared,
                pinned=sequence.request.pinned,
            )
        )
        self._unlock(sequence)
        if kept:
            return None
        self._free_seq_ids.append(seq_id)
        return Keep(seq_id)
