"""The two figures on texts made up from a seed: all that is structured is found, little else is."""

from collections import Counter

from edge_llm.config import PrivacyConfig
from edge_llm.privacy import Redactions, create_redactor, restore_text
from tests.support.pii_corpus import leaks, ordinary, secrets

REDACTOR = create_redactor(PrivacyConfig(), strict=True)


def test_no_secret_of_the_corpus_leaves_and_each_comes_back() -> None:
    leaked = []
    for sample in secrets(seed=7, count=3000):
        redactions = Redactions()
        redacted, _ = REDACTOR.redact_text(sample.text, redactions)
        if leaks(sample, redacted):
            leaked.append(sample)
        if not sample.text.startswith("{"):
            assert restore_text(redacted, redactions) == sample.text

    assert leaked == []


def test_ordinary_text_gives_few_false_alarms() -> None:
    words, alarms = 0, Counter[str]()
    for text in ordinary(seed=7, count=1500):
        words += len(text.split())
        alarms.update(REDACTOR.redact_text(text, Redactions())[1])

    assert words > 15_000
    assert 1000 * alarms.total() / words <= 5
