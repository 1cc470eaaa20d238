"""Numbers that issuing bodies and encyclopaedias print as examples, and the same with an error."""

import pytest

from edge_llm.privacy.kinds.national_id import find

EXAMPLES = [
    "SSN 078-05-1120", "SSN: 078051120", "social insurance number 046 454 286",
    "CPF 111.444.777-35",
    "RUT 12.345.678-5", "AB 12 34 56 C", "AB123456C", "NHS 943 476 5919", "1234567T",
    "Steuer-ID 86095742719", "Steuer-ID 47 036 892 816", "65 170839 J 003", "2 55 08 14 168 025 38",
    "DNI 12345678Z", "X1234567L", "RSSMRA85T10A562S", "BSN 111222333", "85.07.30-033.28",
    "NIF 123456789", "756.9217.0769.85", "SVNR 1237 010180", "811218-9876", "151086 95088",
    "211062-5629", "131052-308T", "36805280109", "38703181745", "44051401359", "710319/2745",
    "1630615123457", "OIB 33392005961", "112-233-445 95", "17291716060", "2341 2341 2346",
    "PAN ACUPA7085R", "11010519491231002X", "971013-9019902", "my number 1234 5678 9018",
    "S1234567D", "A123456(3)", "A123456789", "TFN 123 456 782", "Medicare 2123 45670 1",
    "8001015009087", "teudat zehut 123456782", "passport no. C01X00T47", "Reisepass: C4J7RT801",
]  # fmt: skip

WRONG = [
    "SSN 000-05-1120", "SSN 078-00-1120", "CPF 111.444.777-36", "RUT 12.345.678-6", "GB 12 34 56 C",
    "NHS 943 476 5918", "1234567A", "Steuer-ID 86095742718", "2 55 08 14 168 025 39", "12345678A",
    "RSSMRA85T10A562T", "BSN 111222334", "85.07.30-033.29", "756.9217.0769.86", "811218-9875",
    "131052-308U", "44051401358", "112-233-445 96", "17291716061", "2341 2341 2347",
    "110105194912310021", "S1234567E", "A123456(4)", "A123456788", "8001015009088",
    "111222333", "9434765919", "123456782", "order 123456789 of 2026",
]  # fmt: skip


@pytest.mark.parametrize("text", EXAMPLES)
def test_a_number_is_found_in_whole(text: str) -> None:
    spans = list(find(f"({text})"))

    assert spans
    assert max(span.end for span in spans) == len(text) + 1


@pytest.mark.parametrize("text", WRONG)
def test_a_number_with_an_error_or_without_a_word_is_left(text: str) -> None:
    assert not list(find(text))
