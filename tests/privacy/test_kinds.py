"""What each rule finds and what it leaves: `<…>` marks what must go."""

# ruff: noqa: E501, RUF001 — a table of texts, some of which are meant to look alike

import re

import pytest

from edge_llm.config import PrivacyConfig
from edge_llm.privacy import Redactions, create_redactor
from edge_llm.privacy.placeholders import PLACEHOLDER

REDACTOR = create_redactor(PrivacyConfig(), strict=True)

FOUND = {
    "EMAIL": [
        "mail <max.mustermann@example.de>, now", "<o'brien@x.co.uk>", "mailto:<a+b@c.io>", "**<a@b.cd>**",
        "<ＭＡＸ＠example.com>", "<max@münchen.de>", "<max@xn--mnchen-3ya.de>", "<a@[192.168.1.1]>",
        '<"max m"@example.com>', "<max (at) example (dot) com>", "<john dot smith at gmail dot com>",
        "<max\u200b@example.com>", "<root@pi.local>:~$",
    ],
    "PHONE": [
        "<+49 30 1234567>", "<+1 (415) 555-2671>", "<+44 (0)20 7946 0958>", "<0049 30 1234567>.",
        "<(415) 555-2671>", "<415-555-2671 ext. 5>", "<415.555.2671>", "<01 23 45 67 89>", "<020 7946 0958>",
        "call <555-0123>", "call me: <2125551234>", "<98765 43210>", "<8 (912) 345-67-89>", "<138 0013 8000>",
        "tel:<+4930123456>", "Handy <0151/23456789>", "電話 <03-1234-5678>", "<٠٣٠ ١٢٣٤٥٦٧٨>",
    ],
    "CARD": ["<4111 1111 1111 1111>", "<378282246310005>, 12/27", "<5555-5555-5555-4444>", "<６０１１1111 1111 1117>"],
    "IBAN": ["IBAN <DE89 3704 0044 0532 0130 00>.", "<gb82west12345698765432>", "<NL91-ABNA-0417-1643-00>"],
    "IP": ["<192.168.1.17>:8080", "<8.8.8.8>", "<fe80::1ff:fe23:4567:890a>%eth0", "[<2001:db8::1>]", "<10.0.0.1>/24"],
    "MAC": ["<00:1B:44:11:3A:B7>", "<00-1b-44-11-3a-b7>", "<001b.4411.3ab7>"],
    "URL": [
        "<https://me:pw@example.com/x?y>, ok", "<postgres://app:s3@db/x>", "(<https://x.de/a?b=1&token=abcd>)",
        "<https://hooks.slack.com/services/T1/B2/c3>",
    ],
    "KEY": [
        "OPENAI_API_KEY=<sk-proj-abcdefghijklmnop1234567890>", "<ghp_abcdefghijklmnopqrstuvwxyz0123456789>",
        "password: <hunter2>", 'the wifi password is "<correct horse>"', "pwd=<a,b;c>", "my PIN is <4821>",
        "alarm code <2580>!", "api_key = '<0123456789abcdef0123456789abcdef>'", "Authorization: Bearer <abcdefgh12345678>",
        "<eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl>", "password is <Sommer2026>",
        "the wifi password is <letmein>!",
    ],
    "GPS": ["<48.8566, 2.3522>", "<48°51'24\"N 2°21'03\"E>", "<8FW4V75V+8Q>", "lat: <48.86>", "<52.52000 N, 13.40500 E>"],
    "ID": ["<078-05-1120>", "NINO <AB 12 34 56 C>"],
    "TEXT": ["see <[EMAIL_1]> and <[phone_23]>", "<\\[KEY\\_1\\]>"],
}  # fmt: skip

LEFT = [
    "turn on the kitchen lights at 7:30", "21.5 °C at 2026-11-22 12:30:45", "22.11.2026, 10.30 Uhr",
    "version 1.2.3.4", "v10.0.19041.1", "127.0.0.1 and ::1 and 0.0.0.0", "std::vector<int> a::b", "12:30:45",
    "1.234.567,89 EUR", "$1,234,567.89", "1 234 567", "3.14159265358979", "order 4155552671", "1700000000",
    "password: str", "password = os.environ['X']", "password={password}", "my password is wrong", "the password is too short", "token: str",
    "max_tokens=4096", "the secret is out", "token = tokenizer.encode(text)", "PASSWORD=$DB_PASSWORD",
    "deadbeefdeadbeefdeadbeefdeadbeefdeadbeef", "123e4567-e89b-12d3-a456-426614174000", "@property", "a @ b",
    "1.5, 2.5", "https://example.com/x?page=2", "4111 1111 1111 1112", "DE89 3704 1044 0532 0130 01",
    "call 5 times", "2019-2024", "[LINK_1]", "arr[1]", "pin 17", "1920x1080", "exit code 137",
]  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "marked"), [(kind, text) for kind, texts in FOUND.items() for text in texts]
)
def test_what_must_go_goes_and_nothing_else(kind: str, marked: str) -> None:
    text = re.sub("[<>]", "", marked)

    redacted, counts = REDACTOR.redact_text(text, Redactions())

    assert PLACEHOLDER.sub("•", redacted) == re.sub("<.*?>", "•", marked)
    assert set(counts) == {kind}


@pytest.mark.parametrize("text", LEFT)
def test_ordinary_text_stays(text: str) -> None:
    assert REDACTOR.redact_text(text, Redactions()) == (text, {})


def test_a_private_key_goes_with_all_its_lines() -> None:
    key = "-----BEGIN RSA PRIVATE KEY-----\nMIIE\nabcd\n-----END RSA PRIVATE KEY-----"

    assert REDACTOR.redact_text(f"a\n{key}\nb", Redactions())[0] == "a\n[KEY_1]\nb"
    assert REDACTOR.redact_text(f"a\n{key[:40]}", Redactions())[0] == "a\n[KEY_1]"


def test_long_texts_take_time_in_proportion() -> None:
    """Each was made to make some rule go back; the time limit of a test ends one that does."""
    for text in ("a" * 40_000, "1 " * 20_000, "a@" * 10_000, "a.b-" * 10_000, "1.2:" * 10_000,
                 "password: " * 4_000, "+1 " * 10_000, "((((" * 10_000, "x at y dot " * 3_000,
                 "sk-" * 12_000, "https://a:" * 4_000, "[EMAIL_" * 6_000, "48.8566 " * 4_000,
                 "a:b:c:" * 6_000, "DE12 " * 8_000, "-----BEGIN PRIVATE KEY-----" * 1_000):  # fmt: skip
        REDACTOR.redact_text(text, Redactions())
