"""How much of what must not leave is found, how much else, and how long the search takes.

The corpus is made up from a seed: e-mail, telephone, card, IBAN, IP, MAC, URL, key, coordinates and
national numbers in many formats, countries and kinds of text; and ordinary text full of numbers,
dates, prices, versions, times, home commands and code. Recall counts a secret as missed when any
four of its characters in a row are still there. The figures say what these rules do on texts made
by the same hand; names and addresses without a recogniser are not among them.

Part of `bench_escalation`; alone: `python -m benchmarks.escalation_privacy [--quick]`.
"""

from __future__ import annotations

import argparse
import time
from collections import Counter

from benchmarks.report import Figure, figure, report
from edge_llm.config import PrivacyConfig
from edge_llm.privacy import Redactions, Redactor, create_redactor
from tests.support.pii_corpus import leaks, ordinary, secrets

TEXTS = 30_000
QUICK_TEXTS = 2000
REPEATS = 5
COMMAND = "turn on the kitchen lights at 7:30 and set the bedroom to 21 degrees"


def measure(texts: int) -> dict[str, Figure]:
    """Recall over so many secrets, false alarms over as many texts, and times."""
    redactor = create_redactor(PrivacyConfig(), strict=True)
    return {**_recall(redactor, texts), **_false_alarms(redactor, texts), **_times(redactor)}


def _recall(redactor: Redactor, texts: int) -> dict[str, Figure]:
    seen, missed = Counter[str](), Counter[str]()
    for sample in secrets(seed=2026, count=texts):
        redacted, _ = redactor.redact_text(sample.text, Redactions())
        seen[sample.kind] += 1
        missed[sample.kind] += leaks(sample, redacted)
    share = 100 * (1 - missed.total() / seen.total())
    return {
        "pii_recall": figure([share], "%", goal=100),
        "pii_secrets": figure([seen.total()], ""),
        **{f"pii_missed_{kind.lower()}": figure([missed[kind]], "") for kind in sorted(seen)},
    }


def _false_alarms(redactor: Redactor, texts: int) -> dict[str, Figure]:
    words, alarms = 0, 0
    for text in ordinary(seed=2026, count=texts):
        words += len(text.split())
        alarms += sum(redactor.redact_text(text, Redactions())[1].values())
    rate = 1000 * alarms / words
    return {
        "pii_false_alarms": figure([rate], "per 1000 words", goal=5, direction="at_most"),
        "pii_words": figure([words], ""),
    }


def _times(redactor: Redactor) -> dict[str, Figure]:
    long = " ".join(ordinary(seed=1, count=200))
    shorts, longs = [], []
    for _ in range(REPEATS):
        begin = time.perf_counter()
        for _ in range(50):
            redactor.redact([{"role": "user", "content": COMMAND}])
        shorts.append((time.perf_counter() - begin) / 50 * 1e3)
        begin = time.perf_counter()
        redactor.redact([{"role": "user", "content": long}])
        longs.append((time.perf_counter() - begin) * 1e6 / len(long))
    return {
        "redact_command": figure(shorts, "ms"),
        "redact_per_character": figure(longs, "µs"),
    }


def main() -> None:
    """Measure alone."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="under 20 seconds")
    options = parser.parse_args()
    report(
        "escalation_privacy",
        measure(QUICK_TEXTS if options.quick else TEXTS),
        ("phonenumberslite", "google-re2"),
    )


if __name__ == "__main__":
    main()
