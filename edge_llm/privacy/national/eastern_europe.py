"""Central and Eastern Europe, Turkey and Israel."""

from __future__ import annotations

from edge_llm.privacy.kinds.digits import is_date, iso_7064_11_10, luhn, weighted
from edge_llm.privacy.national.base import national


def is_pesel(digits: str) -> bool:
    """Poland; the month tells the century. Source: Ustawa o ewidencji ludności."""
    year, month, day = (int(digits[at : at + 2]) for at in (0, 2, 4))
    check = -weighted(digits, (1, 3, 7, 9, 1, 3, 7, 9, 1, 3)) % 10
    return check == int(digits[10]) and is_date(year, month % 20, day)


def is_rodne_cislo(digits: str) -> bool:
    """Czechia and Slovakia; before 1954 without a check digit. Source: zákon č. 133/2000 Sb."""
    year, month, day = (int(digits[at : at + 2]) for at in (0, 2, 4))
    month -= 50 if month > 50 else 0
    is_right = (
        len(digits) == 9
        or int(digits) % 11 == 0
        or (int(digits[:9]) % 11 == 10 and digits[9] == "0")
    )
    return is_right and is_date(year, month - 20 if month > 20 else month, day)


def is_cnp(digits: str) -> bool:
    """Romania. Source: Legea 105/1996."""
    year, month, day = (int(digits[at : at + 2]) for at in (1, 3, 5))
    rest = weighted(digits, (2, 7, 9, 1, 4, 6, 3, 5, 8, 2, 7, 9)) % 11
    return (1 if rest == 10 else rest) == int(digits[12]) and is_date(year, month, day)


def is_egn(digits: str) -> bool:
    """Bulgaria. Source: Закон за гражданската регистрация."""
    year, month, day = (int(digits[at : at + 2]) for at in (0, 2, 4))
    check = weighted(digits, (2, 4, 8, 5, 10, 9, 7, 3, 6)) % 11 % 10
    return check == int(digits[9]) and is_date(year, month % 20, day)


def is_snils(digits: str) -> bool:
    """Russia, pensions. Source: Приказ Минздравсоцразвития 1124."""
    return weighted(digits, range(9, 0, -1)) % 101 % 100 == int(digits[9:])


def is_tckn(digits: str) -> bool:
    """Turkey, two check digits. Source: T.C. Nüfus İdaresi."""
    odd, even = sum(map(int, digits[0:9:2])), sum(map(int, digits[1:8:2]))
    return digits[9:] == f"{(odd * 7 - even) % 10}{sum(map(int, digits[:10])) % 10}"


EASTERN_EUROPE = (
    national("PL PESEL", r"\d{11}", is_pesel),
    national(
        "CZ SK",
        r"\d{6}/?\d{3,4}",
        is_rodne_cislo,
        words=r"rodn[ée] č[ií]slo|\br\.?\s?č\.?",
        distinct=r"\d{6}/\d{3,4}",
    ),
    national("RO CNP", r"[1-9]\d{12}", is_cnp),
    national("BG EGN", r"\d{10}", is_egn, words=r"\begn\b|егн", distinct=None),
    national("HR OIB", r"\d{11}", iso_7064_11_10, words=r"\boib\b", distinct=None),
    national("RU SNILS", r"\d{3}-\d{3}-\d{3}[ -]\d{2}", is_snils),
    national("TR TCKN", r"[1-9]\d{10}", is_tckn),
    national("IL", r"\d{9}", luhn, words=r"teudat|zehut|תעודת|ת\.?ז", distinct=None),
)
