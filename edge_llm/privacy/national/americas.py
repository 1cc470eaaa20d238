"""The Americas."""

from __future__ import annotations

from edge_llm.privacy.kinds.digits import luhn, weighted
from edge_llm.privacy.national.base import has_any_check, national


def is_ssn(digits: str) -> bool:
    """United States: no check digit; some areas, groups and serials are never given.

    Source: SSA, "Social Security Number Randomization"; IRS for 9xx (ITIN).
    """
    if digits[3:5] == "00" or digits[5:] == "0000" or digits[:3] in ("000", "666"):
        return False
    return digits[0] != "9" or digits[3] in "56789"


def is_cpf(digits: str) -> bool:
    """Brazil, two check digits. Source: Receita Federal."""
    if len(set(digits)) == 1:
        return False
    first = weighted(digits, range(10, 1, -1)) * 10 % 11 % 10
    second = weighted(digits, range(11, 1, -1)) * 10 % 11 % 10
    return digits[9:] == f"{first}{second}"


def is_rut(text: str) -> bool:
    """Chile, one check character. Source: Servicio de Impuestos Internos."""
    body, check = text[:-1], text[-1]
    rest = 11 - weighted(body[::-1], [2, 3, 4, 5, 6, 7] * 2) % 11
    return check == {11: "0", 10: "K"}.get(rest, str(rest))


AMERICAS = (
    national(
        "US SSN",
        r"\d{3}-\d{2}-\d{4}|\d{3} \d{2} \d{4}|\d{9}",
        is_ssn,
        words=r"\bssn\b|social[ -]security|\bitin\b|taxpayer",
        distinct=r"\d{3}-\d{2}-\d{4}|\d{3} \d{2} \d{4}",
    ),
    national(
        "CA SIN",
        r"\d{3}([ -]?)\d{3}\1\d{3}",
        luhn,
        words=r"\bsin\b|social insurance|\bnas\b",
        distinct=r"\d{3}-\d{3}-\d{3}",
    ),
    national("MX CURP", r"[A-Z]{4}\d{6}[HMX][A-Z]{5}[A-Z0-9]\d", has_any_check),
    national(
        "MX RFC", r"[A-ZÑ&]{4}\d{6}[A-Z0-9]{3}", has_any_check, words=r"\brfc\b", distinct=None
    ),
    national("BR CPF", r"\d{3}\.?\d{3}\.?\d{3}-?\d{2}", is_cpf),
    national("CL RUT", r"\d{1,2}\.?\d{3}\.?\d{3}-[\dK]", is_rut),
    national("AR DNI", r"\d{1,2}\.?\d{3}\.?\d{3}", has_any_check, words=r"\bdni\b", distinct=None),
)
