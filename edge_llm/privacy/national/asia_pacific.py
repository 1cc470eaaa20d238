"""Asia, Australia and New Zealand."""

from __future__ import annotations

from edge_llm.privacy.kinds.digits import is_date, weighted
from edge_llm.privacy.national.base import has_any_check, national

_VERHOEFF_TABLE = (
    "0123456789", "1234067895", "2340178956", "3401289567", "4012395678",
    "5987604321", "6598710432", "7659821043", "8765932104", "9876543210",
)  # fmt: skip
_VERHOEFF_TURN = (
    "0123456789", "1576283094", "5803796142", "8916043527",
    "9453126870", "4286573901", "2793806415", "7046913258",
)  # fmt: skip


def is_aadhaar(digits: str) -> bool:
    """India. Source: UIDAI; J. Verhoeff, Error Detecting Decimal Codes, 1969."""
    check = 0
    for at, digit in enumerate(reversed(digits)):
        check = int(_VERHOEFF_TABLE[check][int(_VERHOEFF_TURN[at % 8][int(digit)])])
    return check == 0


def is_chinese(text: str) -> bool:
    """China. Source: GB 11643-1999."""
    year, month, day = int(text[6:10]), int(text[10:12]), int(text[12:14])
    rest = weighted(text[:17], (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)) % 11
    return "10X98765432"[rest] == text[17] and is_date(year, month, day)


def is_korean(digits: str) -> bool:
    """South Korea: without a check digit since 2020. Source: 주민등록법 시행규칙."""
    return is_date(int(digits[:2]), int(digits[2:4]), int(digits[4:6]))


def is_my_number(digits: str) -> bool:
    """Japan. Source: 総務省令第八十五号 (2014)."""
    rest = weighted(digits, (6, 5, 4, 3, 2, 7, 6, 5, 4, 3, 2)) % 11
    return (0 if rest <= 1 else 11 - rest) == int(digits[11])


def is_nric(text: str) -> bool:
    """Singapore. Source: Immigration & Checkpoints Authority."""
    total = weighted(text[1:8], (2, 7, 6, 5, 4, 3, 2)) + {"T": 4, "G": 4, "M": 3}.get(text[0], 0)
    if text[0] == "M":
        return "KLJNPQRTUWX"[10 - total % 11] == text[8]
    return ("JZIHGFEDCBA" if text[0] in "ST" else "XWUTRQPNMLK")[total % 11] == text[8]


def is_hkid(text: str) -> bool:
    """Hong Kong. Source: Immigration Department."""
    body = text[:-1].rjust(8)
    total = sum((36 if c == " " else int(c, 36)) * (9 - at) for at, c in enumerate(body))
    return "0123456789A"[-total % 11] == text[-1]


def is_taiwanese(text: str) -> bool:
    """Taiwan. Source: 內政部戶政司."""
    letter = "ABCDEFGHJKLMNPQRSTUVXYWZIO".index(text[0]) + 10
    return (
        letter // 10 + letter % 10 * 9 + weighted(text[1:], (8, 7, 6, 5, 4, 3, 2, 1, 1))
    ) % 10 == 0


def is_tfn(digits: str) -> bool:
    """Australia, taxes. Source: Australian Taxation Office."""
    return weighted(digits, (1, 4, 3, 7, 5, 8, 6, 9, 10)) % 11 == 0


def is_medicare(digits: str) -> bool:
    """Australia, health. Source: Services Australia."""
    return weighted(digits, (1, 3, 7, 9, 1, 3, 7, 9)) % 10 == int(digits[8])


ASIA_PACIFIC = (
    national(
        "IN Aadhaar",
        r"[2-9]\d{3}([ -]?)\d{4}\1\d{4}",
        is_aadhaar,
        words=r"aadhaa?r|uidai|आधार",
        distinct=r"\d{4}[ -]\d{4}[ -]\d{4}",
    ),
    national("IN PAN", r"[A-Z]{3}[ABCFGHLJPT][A-Z]\d{4}[A-Z]", has_any_check),
    national("CN", r"[1-9]\d{5}(?:19|20)\d{9}[\dX]", is_chinese),
    national("KR RRN", r"\d{6}-[0-9]\d{6}", is_korean),
    national(
        "JP My Number",
        r"\d{4}([ -]?)\d{4}\1\d{4}",
        is_my_number,
        words=r"マイナンバー|個人番号|my number",
        distinct=None,
    ),
    national("SG NRIC", r"[STFGM]\d{7}[A-Z]", is_nric),
    national("HK HKID", r"[A-Z]{1,2}\d{6}\([0-9A]\)", is_hkid),
    national("TW", r"[A-Z][1289]\d{8}", is_taiwanese),
    national(
        "AU TFN", r"\d{3}([ -]?)\d{3}\1\d{3}", is_tfn, words=r"\btfn\b|tax file", distinct=None
    ),
    national(
        "AU Medicare",
        r"[2-6]\d{3}[ -]?\d{5}[ -]?\d(?:[ /-]\d)?",
        is_medicare,
        words=r"medicare",
        distinct=None,
    ),
)
