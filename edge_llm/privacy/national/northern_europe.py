"""The Nordic and the Baltic countries."""

from __future__ import annotations

from edge_llm.privacy.kinds.digits import is_date, luhn, weighted
from edge_llm.privacy.national.base import national

_HETU = "0123456789ABCDEFHJKLMNPRSTUVWXY"


def _born(digits: str, order: str) -> bool:
    """Whether six digits are a date; days of Norway and Sweden may be 40 or 60 too high."""
    at = {part: int(digits[2 * i : 2 * i + 2]) for i, part in enumerate(order)}
    day = at["d"] - 60 if at["d"] > 60 else at["d"] - 40 if at["d"] > 40 else at["d"]
    month = at["m"] - 80 if at["m"] > 80 else at["m"] - 40 if at["m"] > 40 else at["m"]
    return is_date(at["y"], month, day)


def is_personnummer(digits: str) -> bool:
    """Sweden. Source: Skatteverket SKV 704."""
    return luhn(digits[-10:]) and _born(digits[-10:-4], "ymd")


def is_fodselsnummer(digits: str) -> bool:
    """Norway, two check digits. Source: Skatteetaten."""
    first = -weighted(digits, (3, 7, 6, 1, 8, 9, 4, 5, 2)) % 11
    second = -weighted(digits, (5, 4, 3, 2, 7, 6, 5, 4, 3, 2)) % 11
    return digits[9:] == f"{first}{second}" and _born(digits[:6], "dmy")


def is_cpr(digits: str) -> bool:
    """Denmark: no check digit since 2007. Source: CPR-kontoret."""
    day, month, year = (int(digits[at : at + 2]) for at in (0, 2, 4))
    return is_date(year, month, day)


def is_hetu(text: str) -> bool:
    """Finland. Source: Digi- ja väestötietovirasto."""
    digits = text[:6] + text[-4:-1]
    return digits.isdigit() and _HETU[int(digits) % 31] == text[-1] and _born(text[:6], "dmy")


def is_baltic(digits: str) -> bool:
    """Estonia and Lithuania. Source: EVS 585:2007."""
    rest = weighted(digits, (1, 2, 3, 4, 5, 6, 7, 8, 9, 1)) % 11
    if rest == 10:
        rest = weighted(digits, (3, 4, 5, 6, 7, 8, 9, 1, 2, 3)) % 11 % 10
    return rest == int(digits[10]) and _born(digits[1:7], "ymd")


NORTHERN_EUROPE = (
    national(
        "SE personnummer",
        r"(?:19|20)?\d{6}[-+]?\d{4}",
        is_personnummer,
        words=r"personn(?:ummer|r)|samordningsnummer",
        distinct=r"\d+[-+]\d{4}|(?:19|20)\d{10}",
    ),
    national("NO fødselsnummer", r"\d{6} ?\d{5}", is_fodselsnummer),
    national(
        "DK CPR",
        r"\d{6}[ -]?\d{4}",
        is_cpr,
        words=r"\bcpr\b|personnummer",
        distinct=r"\d{6}-\d{4}",
    ),
    national("FI HETU", r"\d{6}[-+A-FU-Y]\d{3}[0-9A-FHJ-NPR-Y]", is_hetu),
    national("EE LT", r"[1-8]\d{10}", is_baltic),
)
