import pytest

from edge_llm.privacy import Passage, PrivacyLabel, effective_label, parse_label, passage


@pytest.mark.parametrize("text", ["alow", "", "none", None, 1, "ALLOW!", "redact,allow"])
def test_an_unknown_label_means_local_only(text: object) -> None:
    assert parse_label(text) is PrivacyLabel.LOCAL_ONLY
    assert passage(text, "cloud") is Passage.REFUSE


def test_a_label_may_be_written_in_any_case() -> None:
    assert parse_label(" Redact ") is PrivacyLabel.REDACT


def test_the_strictest_label_counts_and_nothing_said_means_redact() -> None:
    assert effective_label(None, None) is PrivacyLabel.REDACT
    assert effective_label("allow", None) is PrivacyLabel.ALLOW
    assert effective_label("allow", "redact", None) is PrivacyLabel.REDACT
    assert effective_label("allow", "local_only") is PrivacyLabel.LOCAL_ONLY
    assert effective_label("allow", "perhaps") is PrivacyLabel.LOCAL_ONLY


def test_who_gets_what() -> None:
    for label in ("local_only", "redact", "allow"):
        assert passage(label, "device") is Passage.SEND
        assert passage(label, "lan", lan_is_local=True) is Passage.SEND
        assert passage(label, "lan") is passage(label, "cloud")
    assert passage("local_only", "cloud") is Passage.REFUSE
    assert passage("redact", "cloud") is Passage.REDACT
    assert passage("allow", "cloud") is Passage.SEND
