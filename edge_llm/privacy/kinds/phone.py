"""Telephone numbers, international and as written in each country.

Many numbers could be telephone numbers of some country, so one without an international prefix
counts only with a sign that it is: a word before it, a trunk prefix, or the way it is grouped. The
door to `phonenumbers`, which is imported when the first candidate is seen.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import cache

from edge_llm.errors import PrivacyRuleError
from edge_llm.privacy.spans import PiiKind, Span

_REGIONS = """
US GB DE FR IT ES NL BE CH AT AU NZ IE PT PL SE NO DK FI CZ SK HU RO GR BG HR SI UA RU TR
IN CN JP KR BR MX AR CL CO ZA NG KE EG IL AE SA SG HK MY TH ID PH VN TW PK BD CA
"""

DEFAULT_REGIONS = tuple(_REGIONS.split())
"""Countries whose national numbers are looked for when none are configured."""

_INTERNATIONAL = re.compile(
    r"(?<![A-Za-z0-9_+])(?:\+|00(?=[1-9])|011[ -](?=[1-9]))[ ]?\(?\d(?:[ .()/-]{0,3}\d){5,16}"
)

_NATIONAL = re.compile(
    r"(?<![A-Za-z0-9_+.,:/$€£¥#=-])\(?\d(?:[ .()/-]{0,3}\d){5,14}(?![A-Za-z0-9_%])"
)

_EXTENSION = re.compile(
    r"[ ,;]{0,2}(?:ext(?:ension)?|x|poste|durchwahl|anexo|ramal)[ .:]{0,2}\d{1,6}(?!\w)",
    re.IGNORECASE,
)

_WORD_BEFORE = re.compile(
    r"(?:\b(?:tele?(?:phone|fon|fono|foon|fax)?|phones?|mob(?:ile|il|iel)?|cell(?:phone|ulare?|ular)?"
    r"|fax|whatsapp|signal|sms|call|calling|ring|dial|text|hotline|landline|contact|reach|voicemail"
    r"|handy(?:nummer)?|rufnummer|telefonnummer|festnetz|anrufen|ruf|tél(?:éphone)?|portable|appel(?:ez)?"
    r"|teléfono|telefonu|móvil|celular|llama(?:r|me)?|chiama(?:re|mi)?|telefoonnummer|bel|telemóvel"
    r"|ligar|ligue|puh(?:elin)?|tlf|telefonn(?:ummer|r)|mobilnummer|numer|zadzwoń|телефон|звонить|тел"
    r")\b|電話|电话|手机|携帯|전화|휴대폰|هاتف|फ़ोन)[^\d\n]{0,24}\Z",
    re.IGNORECASE,
)

_NOT_PHONE = re.compile(
    r"(?:\d{4}[./-]\d{1,2}[./-]\d{1,2}|\d{1,2}[./-]\d{1,2}[./-](?:19|20)?\d{2}"
    r"|\d{1,2} \d{1,2} (?:19|20)\d{2}|(?:19|20)\d{2} \d{1,2} \d{1,2})(?:[ T.-]+\d{1,2}.*)?"
    r"|\d{1,3}(?:\.\d{3})+|\d+\.\d+|(?:19|20)\d\d[ ]?[-/][ ]?(?:19|20)\d\d"
)
"""Dates, with a time or not; thousands with dots; decimals; two years."""

_GROUPED = re.compile(
    r"\(\d{1,5}\)[ /-]?\d[\d ./-]{4,}"  # (030) 123456
    r"|(?:1[ .-])?\d{3}([ .-])\d{3}\1\d{4}"  # 415-555-2671, and with 1
    r"|0\d{1,5}[ ./-]{0,3}\d[\d ./-]{4,}"  # 030 123456, 01 23 45 67 89
    r"|[6-9]\d{2}([ -])\d{3}\2\d{3}"  # 612 345 678
    r"|[6-9]\d{2}([ -])\d{2}\3\d{2}\3\d{2}"  # 612 34 56 78
    r"|1[3-9]\d([ -])\d{4}\4\d{4}|[6-9]\d{4}[ -]\d{5}"  # 138 0013 8000, 98765 43210
    r"|8[ -]?\(?\d{3}\)?[ -]?\d{3}[ -]\d{2}[ -]\d{2}"  # 8 (912) 345-67-89
    r"|\d{2}[ -]\d{4}[ -]\d{4}|\d{2}[ -]9?\d{4}-\d{4}"  # 55 1234 5678, 11 91234-5678
)

_UNIT_AFTER = re.compile(
    r"[ ]?(?:%|°|€|\$|£|¥|(?:times|ms|s|sec|seconds|minutes|hours|days|years|km|m|cm|mm|kg|g|lb"
    r"|mb|gb|kb|tb|bytes|kwh|wh|watts?|volts?|usd|eur|gbp|tokens|rows|lines|items|people|users|points|euros?"
    r"|dollars?|pixels|px|files|records|entries|steps)\b)",
    re.IGNORECASE,
)


class PhoneFinder:
    """Finds telephone numbers. Frozen; may be used from any thread."""

    def __init__(self, regions: Sequence[str] = ()) -> None:
        """Look for numbers as they are written in some countries.

        Raises:
            PrivacyRuleError: no such country.
        """
        self._regions = tuple(region.upper() for region in regions) or DEFAULT_REGIONS
        self._is_chosen = bool(regions)
        if self._is_chosen:
            _check_regions(self._regions)

    def __call__(self, text: str) -> Iterator[Span]:
        """The numbers in a text."""
        for match in _INTERNATIONAL.finditer(text):
            end = self._international_end(match)
            if end:
                yield Span(match.start(), _with_extension(text, end), PiiKind.PHONE)
        for match in _NATIONAL.finditer(text):
            found = self._national(text, match)
            if found:
                yield Span(found[0], _with_extension(text, found[1]), PiiKind.PHONE)

    def _international_end(self, match: re.Match[str]) -> int | None:
        for end in _shorter_ends(match[0]):
            digits = _digits(match[0][:end])
            number = digits[3:] if digits.startswith("011") else digits.removeprefix("00")
            if match[0].startswith("+") or digits.startswith("0"):
                number = re.sub(r"\(0\)", "", match[0][:end]) if "(0)" in match[0] else number
                if _is_international(_digits(number).removeprefix("00")):
                    return match.start() + end
        return None

    def _national(self, text: str, match: re.Match[str]) -> tuple[int, int] | None:
        before = text[max(0, match.start() - 48) : match.start()]
        has_word = bool(_WORD_BEFORE.search(before))
        for start, end in _inner(match[0]):
            candidate = match[0][start:end]
            after = text[match.start() + end : match.start() + end + 12]
            if _NOT_PHONE.fullmatch(candidate) or _UNIT_AFTER.match(after):
                continue
            if candidate.count("(") != candidate.count(")"):
                continue
            if (has_word and start == 0) or self._is_shaped(candidate):
                if has_word and start == 0 and 6 <= len(_digits(candidate)) <= 15:
                    return match.start() + start, match.start() + end
                if self._is_valid(_digits(candidate)):
                    return match.start() + start, match.start() + end
        return None

    def _is_shaped(self, candidate: str) -> bool:
        """Whether it is written as telephone numbers are."""
        digits = _digits(candidate)
        if _GROUPED.fullmatch(candidate):
            return not digits.startswith("0") or 9 <= len(digits) <= 12
        return self._is_chosen and len(digits) >= 7 and any(c in " -/()" for c in candidate)

    def _is_valid(self, digits: str) -> bool:
        return any(_is_national(digits, region) for region in self._regions)


def _digits(text: str) -> str:
    return "".join(c for c in text if c.isdigit())


def _shorter_ends(text: str) -> Iterator[int]:
    """Ends of whole groups, the longest first."""
    yield len(text)
    for match in reversed(list(re.finditer(r"(?<=\d)[ .()/-]+", text))):
        yield match.start()


def _inner(text: str) -> Iterator[tuple[int, int]]:
    """The whole candidate, then what is left without groups at its end or its beginning."""
    ends = [end for end in _shorter_ends(text) if len(_digits(text[:end])) >= 6][:4]
    for end in ends:
        yield 0, end
    for match in list(re.finditer(r"[ /]+(?=[(\d])", text))[:3]:
        if len(_digits(text[match.end() :])) >= 6:
            yield match.end(), len(text)


def _with_extension(text: str, end: int) -> int:
    extension = _EXTENSION.match(text, end)
    return extension.end() if extension else end


def _is_international(digits: str) -> bool:
    import phonenumbers

    if not 7 <= len(digits) <= 15:
        return False
    try:
        number = phonenumbers.parse(f"+{digits}")
    except phonenumbers.NumberParseException:
        return False
    return bool(phonenumbers.is_possible_number(number))


@cache
def _national_pattern(region: str) -> re.Pattern[str] | None:
    """The national numbers of a country with their trunk prefix or without it, roughly."""
    import phonenumbers

    metadata = phonenumbers.PhoneMetadata.metadata_for_region(region)
    if metadata is None or metadata.general_desc is None:
        return None
    prefix = metadata.national_prefix_for_parsing or metadata.national_prefix or ""
    return re.compile(f"(?:{prefix})?(?:{metadata.general_desc.national_number_pattern})")


def _is_national(digits: str, region: str) -> bool:
    import phonenumbers

    pattern = _national_pattern(region)
    if pattern is None or not pattern.fullmatch(digits):
        return False
    try:
        number = phonenumbers.parse(digits, region)
    except phonenumbers.NumberParseException:
        return False
    return bool(phonenumbers.is_valid_number_for_region(number, region))


def _check_regions(regions: Sequence[str]) -> None:
    import phonenumbers

    for region in regions:
        if region not in phonenumbers.SUPPORTED_REGIONS:
            raise PrivacyRuleError(
                f"privacy.regions has {region!r}, which is no country with telephone numbers",
                hint="two letters, as DE or US",
            )
