"""Random requests through random faults, and what no request may ever do: the campaign.

One runtime with a scripted local model and a scripted cloud serves all of them at once. Which
script a request meets on either side is written in it as a number.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import re
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Any
from unittest import mock

import numpy as np
from numpy.typing import NDArray

from edge_llm.backends.fake import FakeBackend, fake_capabilities
from edge_llm.cloud.breaker import CircuitBreaker
from edge_llm.errors import EdgeLLMError
from edge_llm.prompt.byte_tokenizer import ByteTokenizer
from edge_llm.prompt.chat_template import CHATML
from edge_llm.runtime.async_llm import AsyncEdgeLLM
from edge_llm.runtime.tiers import RemoteTier
from edge_llm.types import Answer
from tests.support.cloud_faults import FaultScript, random_script
from tests.support.cloud_server import CloudServer, Seen
from tests.support.hybrid import LOCAL, UNSURE, cloud, scripted
from tests.support.runtimes import ASSISTANT, local_model

CASE = re.compile(rb"case (\d+)\.")
HOLDS = (None, "none", "window(3)", "window(20)", "sentence", "full")
DOUBTS = ("defer", "defer", "defer", "race", "draft_and_refine", "verify", "continue")
LABELS = ("allow", "redact", "redact", "local_only", "nonsense", None)
REFUSED = ("local_only", "nonsense")
HANG_S = 30.0
"""Longer than any deadline and any of the endpoint's own limits."""

TIMEOUTS = {"connect_s": 2.0, "read_s": 0.3, "total_s": 0.8}


@dataclass(frozen=True)
class Case:
    """One request, and what it meets."""

    number: int
    local: str
    doubt_at: int | None
    """Position from which the local model is unsure of every token; None: it never is."""
    knows: bool
    """Whether the model's own word is that it knows."""
    remote: FaultScript
    options: dict[str, Any]
    streams: bool
    leaves_after: int | None
    """Pieces after which the caller leaves; None: it stays."""

    @property
    def secret(self) -> str:
        return f"ada{self.number}@example.org"

    @property
    def prompt(self) -> str:
        return f"case {self.number}. Write to {self.secret} about the lamp."


@dataclass
class Outcome:
    """What became of one request."""

    seen: str = ""
    answer: Answer | None = None
    error: BaseException | None = None
    late_s: float = 0.0
    """Seconds after its deadline at which it ended; negative when before."""
    left: bool = False


def random_case(seed: int) -> Case:
    """The case of a seed: always the same."""
    dice = random.Random(seed)
    words = ["light", "on", "the", "sky", "blue.", "Well.", "so", "x" * 12]
    options: dict[str, Any] = {
        "hold": dice.choice(HOLDS),
        "on_doubt": dice.choice(DOUBTS),
        "privacy": dice.choice(LABELS),
        "deadline_s": dice.choice([None, None, 0.05, 0.2, 0.5, 1.0]),
    }
    streams = dice.random() < 0.7
    if not streams:
        options["hold"] = None  # who waits for the whole answer sees none of it before
    return Case(
        number=seed,
        local=" ".join(dice.choice(words) for _ in range(dice.randint(0, 14))),
        doubt_at=dice.choice([None, 0, 3, 20, 40]),
        knows=dice.random() < 0.4,
        remote=_remote_script(dice),
        options=options,
        streams=streams,
        leaves_after=dice.randint(0, 4) if dice.random() < 0.08 else None,
    )


def _remote_script(dice: random.Random) -> FaultScript:
    """Whole answers often enough that they are met under every option."""
    script = random_script(dice)
    while dice.random() < 0.4 and not script.is_complete:
        script = random_script(dice)
    return script


class CasesBackend(FakeBackend):
    """A local model that does what the case in its prompt says."""

    def __init__(self, cases: Sequence[Case]) -> None:
        base = [token.text for token in ByteTokenizer().special_tokens]
        self._cases = {case.number: case for case in cases}
        self._replies = {case.number: list(case.local.encode()) for case in cases}
        super().__init__(
            self._say,
            tokenizer=ByteTokenizer([*base, UNSURE]),
            capabilities=fake_capabilities(
                max_model_len=1024, max_num_seqs=32, num_kv_cells=32 * 1024
            ),
            chat_template=CHATML,
            unsure_token=UNSURE,
        )

    def _say(self, tokens: Sequence[int]) -> NDArray[np.float32]:
        data = bytes(token if token < 256 else 0 for token in tokens)
        found = CASE.search(data)
        assert found is not None, "every prompt names its case"
        case = self._cases[int(found[1])]
        reply = self._replies[case.number]
        begin = data.rindex(bytes(ASSISTANT)) + len(ASSISTANT)
        is_first = len(data) == begin
        says_unsure = not is_first and tokens[begin] == self.tokenizer.vocab_size - 1
        position = len(data) - begin - says_unsure  # after its word it says the same
        is_sure = case.doubt_at is None or position < case.doubt_at
        row = np.zeros(self.tokenizer.vocab_size, np.float32)
        end = min(self.tokenizer.eog_ids)
        row[reply[position] if position < len(reply) else end] = 13.0 if is_sure else 2.0
        if is_first and not case.knows:
            row[-1] = row.max() + 3.0
        return row


class CasesServer(CloudServer):
    """Answers each request by the script of its case."""

    def __init__(self, cases: Sequence[Case]) -> None:
        super().__init__()
        self._by_case = {case.number: case for case in cases}

    def script_for(self, seen: Seen) -> str:
        found = CASE.search(seen.body)
        return self._by_case[int(found[1])].remote.text if found else "status 400\nbody {}"


class OpenDoor(CircuitBreaker):
    """Never opens: the campaign is to meet the faults."""

    def failed(self, *_: Any, **__: Any) -> None:
        pass

    def blocked(self, *_: Any, **__: Any) -> None:
        pass


@contextlib.asynccontextmanager
async def campaign_runtime(
    cases: Sequence[Case],
) -> AsyncIterator[tuple[AsyncEdgeLLM, CasesServer, CasesBackend]]:
    """One runtime for all cases."""
    backend = CasesBackend(cases)
    with CasesServer(cases) as server, scripted(local_model(backend)):
        endpoint = cloud(
            server,
            timeouts=TIMEOUTS,
            max_retries=1,
            capabilities=["tools", "continue_prefix"],
            prices={"input_usd": 1.0, "output_usd": 2.0},
        )
        async with AsyncEdgeLLM(tiers=[LOCAL, endpoint]) as llm:
            assert llm._tiers is not None
            for tier in llm._tiers.tiers:
                if isinstance(tier, RemoteTier):
                    tier.cloud.clients[0].breaker = OpenDoor()
            yield llm, server, backend


async def run_case(llm: AsyncEdgeLLM, case: Case) -> Outcome:
    """Ask, as the case says, and note what came."""
    outcome, started_s = Outcome(), time.monotonic()
    deadline_s = case.options["deadline_s"]
    try:
        if case.streams:
            await _stream(llm, case, outcome)
        else:
            outcome.answer = await llm.chat(case.prompt, **case.options)
            outcome.seen = outcome.answer.text
    except Exception as error:  # noqa: BLE001 — which errors are allowed is judged later
        outcome.error = error
    if deadline_s is not None:
        outcome.late_s = time.monotonic() - started_s - deadline_s
    return outcome


async def _stream(llm: AsyncEdgeLLM, case: Case, outcome: Outcome) -> None:
    count = 0
    async with contextlib.aclosing(llm.stream(case.prompt, **case.options)) as chunks:
        async for chunk in chunks:
            if count == case.leaves_after:
                outcome.left = True
                return
            count += 1
            outcome.seen += chunk.text
            outcome.answer = chunk.answer


def breaks(case: Case, outcome: Outcome, bodies: Sequence[bytes]) -> list[str]:
    """What of the contract was broken, in words; empty when nothing was."""
    found = [*_text_breaks(case, outcome), *_privacy_breaks(case, bodies)]
    error, answer = outcome.error, outcome.answer
    if error is not None and not isinstance(error, EdgeLLMError):
        found.append(f"an error of no type of ours: {error!r}")
    if error is None and answer is None and not outcome.left:
        found.append("neither an answer nor an error")
    if answer is not None and answer.text != outcome.seen:
        found.append("the record's text is not what was shown")
    if answer is not None and not answer.attempts:
        found.append("a record without attempts")
    patient = case.options["deadline_s"] is None
    if error is not None and patient and not outcome.seen and case.local.strip():
        found.append(f"an error although the local model could have answered: {error!r}")
    return found


def _text_breaks(case: Case, outcome: Outcome) -> list[str]:
    said = [case.local, _restored(case)]
    if case.options["on_doubt"] == "continue":
        seen = outcome.seen
        ends = [end for end in range(len(case.local) + 1) if seen.startswith(case.local[:end])]
        if any(_restored(case).startswith(seen[end:]) for end in ends):
            return []
    if any(text.startswith(outcome.seen) for text in said):
        return []
    return [f"shown was {outcome.seen!r}, said were {said!r}"]


def _restored(case: Case) -> str:
    return case.remote.said


def _privacy_breaks(case: Case, bodies: Sequence[bytes]) -> list[str]:
    label = case.options["privacy"]
    if label in REFUSED and bodies:
        return [f"labelled {label!r}, and it left"]
    if label in ("redact", None) and any(case.secret.encode() in body for body in bodies):
        return ["its secret left the device"]
    return []


@dataclass
class Report:
    """What a campaign came to."""

    requests: int = 0
    broken: list[str] = field(default_factory=list)
    outcomes: Counter[str] = field(default_factory=Counter)
    late_s: list[float] = field(default_factory=list)
    """Of requests with a deadline."""


async def run_campaign(seeds: Sequence[int], *, at_once: int = 8) -> Report:
    """Run the cases of the seeds; the wall clock jumps while they run."""
    cases = [random_case(seed) for seed in seeds]
    report = Report(requests=len(cases))
    limit = asyncio.Semaphore(at_once)

    async with campaign_runtime(cases) as (llm, server, backend):

        async def one(case: Case) -> tuple[Case, Outcome]:
            async with limit:
                try:
                    return case, await asyncio.wait_for(run_case(llm, case), HANG_S)
                except TimeoutError as hang:
                    return case, Outcome(error=hang)

        with mock.patch("time.time", jumping_clock()):
            done = await asyncio.gather(*map(one, cases))
        bodies = _bodies(server)
        for case, outcome in done:
            _count(report, case, outcome, bodies.get(case.number, []))
        if not await _is_idle(backend):
            report.broken.append("the local model still works for nobody")
    return report


def jumping_clock() -> Any:
    """A wall clock that somebody sets back and forth."""
    dice, real = random.Random(1), time.time
    return lambda: real() + dice.choice([0.0, -86400.0, 3600.0, 5e6])


def _bodies(server: CasesServer) -> dict[int, list[bytes]]:
    found: dict[int, list[bytes]] = {}
    for seen in server.requests:
        if (match := CASE.search(seen.body)) is not None:
            found.setdefault(int(match[1]), []).append(seen.body)
    return found


def _count(report: Report, case: Case, outcome: Outcome, bodies: Sequence[bytes]) -> None:
    report.broken += [f"seed {case.number}: {text}" for text in breaks(case, outcome, bodies)]
    if case.options["deadline_s"] is not None:
        report.late_s.append(outcome.late_s)
    if outcome.left:
        report.outcomes["left"] += 1
    elif outcome.answer is not None:
        kind = "degraded" if outcome.answer.degraded else "answered"
        report.outcomes[f"{kind} {outcome.answer.route}"] += 1
    elif isinstance(outcome.error, EdgeLLMError):
        report.outcomes[outcome.error.code] += 1


async def _is_idle(backend: FakeBackend) -> bool:
    for _ in range(100):
        before = backend.num_forwards
        await asyncio.sleep(0.05)
        if backend.num_forwards == before:
            return True
    return False
