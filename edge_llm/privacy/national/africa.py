"""Africa."""

from __future__ import annotations

from edge_llm.privacy.kinds.digits import is_date, luhn
from edge_llm.privacy.national.base import has_any_check, national


def is_south_african(digits: str) -> bool:
    """South Africa. Source: Department of Home Affairs."""
    year, month, day = (int(digits[at : at + 2]) for at in (0, 2, 4))
    return luhn(digits) and is_date(year, month, day)


AFRICA = (
    national("ZA", r"\d{6} ?\d{4} ?[012]\d{2}", is_south_african),
    national("NG NIN", r"\d{11}", has_any_check, words=r"\bnin\b|national identi", distinct=None),
)
