"""The British Isles, Western and Southern Europe."""

from __future__ import annotations

from edge_llm.privacy.kinds.digits import is_date, iso_7064_11_10, weighted
from edge_llm.privacy.national.base import national

_DNI_LETTERS = "TRWAGMYFPDXBNJZSQVHLCKE"

_ODD = (
    1,
    0,
    5,
    7,
    9,
    13,
    15,
    17,
    19,
    21,
    2,
    4,
    18,
    20,
    11,
    3,
    6,
    8,
    12,
    14,
    16,
    10,
    22,
    25,
    24,
    23,
)
"""What the letters A to Z count for in odd places of an Italian code; digits as A to J."""


def is_nino(text: str) -> bool:
    """United Kingdom: no check digit; some prefixes are never given. Source: HMRC NIM39110."""
    return text[:2] not in ("BG", "GB", "KN", "NK", "NT", "TN", "ZZ")


def is_nhs(digits: str) -> bool:
    """England and Wales. Source: NHS Data Dictionary, NHS number."""
    return (11 - weighted(digits, range(10, 1, -1)) % 11) % 11 == int(digits[9])


def is_pps(text: str) -> bool:
    """Ireland. Source: Department of Social Protection."""
    total = weighted(text, range(8, 1, -1))
    if len(text) == 9 and text[8] != "W":
        total += (ord(text[8]) - 64) * 9
    return "WABCDEFGHIJKLMNOPQRSTUV"[total % 23] == text[7]


def is_german_tax_id(digits: str) -> bool:
    """Germany: of the first ten digits one or two are missing. Source: § 139b AO, BZSt."""
    return digits[0] != "0" and 8 <= len(set(digits[:10])) <= 9 and iso_7064_11_10(digits)


def is_german_pension(text: str) -> bool:
    """Germany. Source: VKVV § 4."""
    number = text[:8] + f"{ord(text[8]) - 64:02}" + text[9:11]
    total = sum(
        sum(divmod(int(digit) * weight, 10))
        for digit, weight in zip(number, (2, 1, 2, 5, 7, 1, 2, 1, 2, 1, 2, 1), strict=True)
    )
    return total % 10 == int(text[11])


def is_nir(text: str) -> bool:
    """France; Corsica's departments count as 19 and 18. Source: INSEE."""
    number = text[:13].replace("2A", "19").replace("2B", "18")
    return number.isdigit() and 97 - int(number) % 97 == int(text[13:])


def is_dni(text: str) -> bool:
    """Spain, citizens and foreigners. Source: Ministerio del Interior."""
    number = text[:-1].translate(str.maketrans("XYZ", "012"))
    return _DNI_LETTERS[int(number) % 23] == text[-1]


def is_codice_fiscale(text: str) -> bool:
    """Italy. Source: D.M. 23/12/1976."""
    values = [int(c, 36) - (10 if c.isalpha() else 0) for c in text[:15]]
    total = sum(_ODD[value] for value in values[::2]) + sum(values[1::2])
    return chr(65 + total % 26) == text[15]


def is_bsn(digits: str) -> bool:
    """Netherlands. Source: Logisch Ontwerp BSN."""
    return int(digits) > 0 and weighted(digits, (9, 8, 7, 6, 5, 4, 3, 2, -1)) % 11 == 0


def is_belgian(digits: str) -> bool:
    """Belgium, born before 2000 or since. Source: Rijksregister, K.B. 3 april 1984."""
    check = int(digits[9:])
    return any(97 - int(prefix + digits[:9]) % 97 == check for prefix in ("", "2")) and (
        int(digits[2:4]) % 20 <= 12
    )


def is_nif(digits: str) -> bool:
    """Portugal. Source: Autoridade Tributária."""
    rest = 11 - weighted(digits, range(9, 1, -1)) % 11
    return (0 if rest >= 10 else rest) == int(digits[8])


def is_ahv(digits: str) -> bool:
    """Switzerland. Source: Zentrale Ausgleichsstelle, EAN-13."""
    return -weighted(digits, (1, 3) * 6) % 10 == int(digits[12])


def is_austrian(digits: str) -> bool:
    """Austria, with the day of birth at its end. Source: Dachverband der Sozialversicherung."""
    total = weighted(digits[:3] + digits[4:], (3, 7, 9, 5, 8, 4, 2, 1, 6))
    day, month, year = (int(digits[at : at + 2]) for at in (4, 6, 8))
    return total % 11 == int(digits[3]) and is_date(year, min(month, 12), day)


WESTERN_EUROPE = (
    national(
        "GB NINO",
        r"[A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z]([ -]?)\d{2}\1\d{2}\1\d{2}\1[A-D]",
        is_nino,
    ),
    national("GB NHS", r"\d{3}([ -]?)\d{3}\1\d{4}", is_nhs, words=r"\bnhs\b", distinct=None),
    national("IE PPS", r"\d{7}[A-W][A-IW]?", is_pps),
    national(
        "DE tax",
        r"\d{2} ?\d{3} ?\d{3} ?\d{3}",
        is_german_tax_id,
        words=r"steuer|identifikationsn|id-?nr|tin\b|tax",
        distinct=r"\d{2} \d{3} \d{3} \d{3}",
    ),
    national("DE pension", r"\d{2} ?\d{6} ?[A-Z] ?\d{3}", is_german_pension),
    national(
        "FR NIR",
        r"[1-478] ?\d{2} ?(?:0[1-9]|1[0-2]|[2-9]\d) ?(?:\d{2}|2[AB]) ?\d{3} ?\d{3} ?\d{2}",
        is_nir,
    ),
    national("ES DNI", r"\d{8}[ -]?[A-HJ-NP-TV-Z]", is_dni),
    national("ES NIE", r"[XYZ][ -]?\d{7}[ -]?[A-HJ-NP-TV-Z]", is_dni),
    national(
        "IT codice fiscale",
        r"[A-Z]{3} ?[A-Z]{3} ?[\dL-NP-V]{2}[A-EHLMPR-T][\dL-NP-V]{2} ?[A-Z][\dL-NP-V]{3}[A-Z]",
        is_codice_fiscale,
    ),
    national(
        "NL BSN",
        r"\d{9}|\d{4}[ .]\d{2}[ .]\d{3}",
        is_bsn,
        words=r"\bbsn\b|burgerservice|sofi",
        distinct=None,
    ),
    national("BE national", r"\d{2}\.?\d{2}\.?\d{2}[ -]?\d{3}[ .]?\d{2}", is_belgian),
    national(
        "PT NIF", r"\d{3} ?\d{3} ?\d{3}", is_nif, words=r"\bnif\b|contribuinte", distinct=None
    ),
    national("CH AHV", r"756([. ]?)\d{4}\1\d{4}\1\d{2}", is_ahv),
    national(
        "AT insurance",
        r"\d{4} ?\d{6}",
        is_austrian,
        words=r"svnr|sv-?nummer|sozialversicherung|versicherungsnummer",
        distinct=r"\d{4} \d{6}",
    ),
)
