"""Why an answer came from where it came, and what it cost: the record as a readable account."""

from __future__ import annotations

from collections.abc import Iterator

from edge_llm.types import Answer, Attempt

_REASONS = {
    "context_length": "the conversation does not fit in {first}",
    "capability": "{first} lacks a capability that the request needs",
    "privacy": "its privacy label keeps it from {first}",
    "budget": "the budget has no room for {first}",
    "health": "this device is in trouble and its model is spared",
    "task": "a rule of the configuration gives such tasks to another tier",
    "model_router": "the local model, asked beforehand, found it hard",
    "offline": "{first} cannot be reached: there is no network, or none is allowed",
    "unavailable": "{first} has failed lately and is left alone for a while",
    "deadline": "{first} would not have been ready in time",
    "unsure": "the local model itself said that it does not know",
    "low_confidence": "the local draft was not sure enough",
    "empty": "the local draft was empty",
    "truncated": "the local draft did not come to its end",
    "loop": "the local draft went round in circles",
    "validator": "the draft was refused by the check of whoever asked",
    "invalid": "the draft was not of the form that was asked for",
    "verifier": "the cloud model, asked to judge the draft, refused it",
    "tier_error": "{first} failed",
}

_OUTCOMES = {
    "answered": "gave the answer",
    "deferred": "was set aside",
    "lost": "lost the race",
    "judged": "judged the draft",
    "looked": "took a second look",
    "cancelled": "was cancelled",
}


def explain(answer: Answer) -> list[str]:
    """The account, line by line."""
    return [
        _who(answer),
        *_why(answer),
        *(f"  {describe_attempt(one)}" for one in answer.attempts),
        *_notes(answer),
        _cost(answer),
    ]


def _who(answer: Answer) -> str:
    where = "on this device" if answer.route == "local" else "elsewhere"
    return f"answered {where} by {answer.model} (tier {answer.tier})"


def _why(answer: Answer) -> Iterator[str]:
    if answer.reason is None:
        yield f"kept there{_measured(answer)}"
        return
    first = answer.attempts[0].tier if answer.attempts else answer.tier
    reason = _REASONS.get(answer.reason, answer.reason).format(first=first)
    verb = "a better tier was wanted" if answer.degraded else "it moved on"
    yield f"{verb} because {reason}{_measured(answer)}"
    if answer.policy is not None:
        yield f"decided by {answer.policy}"
    if answer.degraded:
        yield "degraded: no better tier could be had, so this is the second best"


def _measured(answer: Answer) -> str:
    if answer.score is None:
        return f": {answer.signal}" if answer.signal else ""
    limit = "" if answer.threshold is None else f", threshold {answer.threshold:.4g}"
    early = answer.checkpoint not in (None, "end", "second_look")
    where = f", at checkpoint {answer.checkpoint}" if early and answer.calibrated else ""
    return f": {answer.signal} {answer.score:.4g}{limit}{where}"


def describe_attempt(attempt: Attempt) -> str:
    """One line: `local (m): was set aside (unsure), 40 + 2 tokens, 35 ms, $0.000000`."""
    outcome = _OUTCOMES.get(attempt.outcome, f"failed with {attempt.outcome}")
    because = f" ({attempt.reason})" if attempt.reason else ""
    tokens = f"{attempt.prompt_tokens} + {attempt.completion_tokens} tokens"
    parts = [outcome + because, tokens, f"{attempt.latency_s * 1000:.0f} ms"]
    if attempt.route == "cloud":
        parts.append("cost unknown" if attempt.cost_usd is None else f"${attempt.cost_usd:.6f}")
    return f"{attempt.tier} ({attempt.model}): {', '.join(parts)}"


def _notes(answer: Answer) -> Iterator[str]:
    if answer.wasted_tokens:
        yield f"{answer.wasted_tokens} local tokens were written and not used"
    if answer.redactions:
        kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(answer.redactions.items()))
        yield f"replaced before anything left: {kinds}"
    if answer.hold_s >= 0.001:
        yield f"held back for {answer.hold_s * 1000:.0f} ms before the first word was certain"
    if answer.compressed_tokens:
        yield f"the conversation was made {answer.compressed_tokens} tokens shorter to fit"
    if answer.confidence is None and answer.score is not None:
        because = answer.uncalibrated_because
        yield "the score is not calibrated" + (f": {because}" if because else "")
    if answer.confidence is not None:
        yield f"confidence {answer.confidence:.0%}, calibrated for this model and task"
    if answer.arm is not None:
        yield f"arm {answer.arm} of a running comparison"


def _cost(answer: Answer) -> str:
    timings, usage = answer.timings, answer.usage
    return (
        f"in all: ${answer.cost_usd:.6f}, {usage.prompt_tokens} + {usage.completion_tokens} tokens,"
        f" first token {timings.ttft_s * 1000:.0f} ms, whole answer {timings.e2e_s * 1000:.0f} ms"
    )
