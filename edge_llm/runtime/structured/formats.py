"""The `format` of a schema: does a text have it?

Source: JSON Schema 2020-12, Validation, section 7.3; RFC 3339 for dates and times, with the
days that each month has; RFC 9562 for UUIDs. Formats that are not here are annotations, as the
standard says.
"""

from __future__ import annotations

import datetime
import ipaddress
from collections.abc import Callable, Mapping
from types import MappingProxyType

from edge_llm.runtime.structured.pattern import matches

_TIME = (
    r"([01][0-9]|2[0-3]):[0-5][0-9]:([0-5][0-9]|60)(\.[0-9]+)?"
    r"([Zz]|[+-]([01][0-9]|2[0-3]):[0-5][0-9])"
)
_DURATION = r"^P([0-9]+Y)?([0-9]+M)?([0-9]+W)?([0-9]+D)?(T([0-9]+H)?([0-9]+M)?([0-9]+S)?)?$"
_LABEL = r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_ATOM = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
_QUOTED = r'"([^"\\\x00-\x1f\x7f]|\\[\x20-\x7e])*"'


def has_format(name: str, text: str) -> bool:
    """Whether `text` is of the format; also True where nobody here knows it."""
    check = FORMATS.get(name)
    return check is None or check(text)


def _by(pattern: str) -> Callable[[str], bool]:
    return lambda text: matches(pattern, text)


def _is_date(text: str) -> bool:
    if not matches(r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$", text):
        return False
    try:
        datetime.date.fromisoformat(text)
    except ValueError:
        return False
    return True


def _is_date_time(text: str) -> bool:
    return len(text) > 11 and text[10] in "Tt" and _is_date(text[:10]) and _is_time(text[11:])


def _is_duration(text: str) -> bool:
    return matches(_DURATION, text) and not text.endswith(("P", "T"))


def _is_ip(
    kind: type[ipaddress.IPv4Address] | type[ipaddress.IPv6Address],
) -> Callable[[str], bool]:
    def check(text: str) -> bool:
        try:
            kind(text)
        except ValueError:
            return False
        return "%" not in text  # a zone is no part of an address

    return check


def _is_hostname(text: str) -> bool:
    return len(text) <= 253 and matches(rf"^{_LABEL}(\.{_LABEL})*$", text)


_is_time = _by(f"^{_TIME}$")
_URI_REST = r"([A-Za-z0-9._~:/?#\[\]@!$&'()*+,;=-]|%[0-9A-Fa-f]{2})*"

FORMATS: Mapping[str, Callable[[str], bool]] = MappingProxyType(
    {
        "date": _is_date,
        "date-time": _is_date_time,
        "time": _is_time,
        "duration": _is_duration,
        "email": _by(rf"^({_ATOM}(\.{_ATOM})*|{_QUOTED})@({_LABEL}(\.{_LABEL})*|\[[^\[\]\s]+\])$"),
        "hostname": _is_hostname,
        "ipv4": _is_ip(ipaddress.IPv4Address),
        "ipv6": _is_ip(ipaddress.IPv6Address),
        "json-pointer": _by(r"^(/([^~/]|~[01])*)*$"),
        "uri-reference": _by(rf"^{_URI_REST}$"),
        "uuid": _by(r"^[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}$"),
        "uri": _by(rf"^[A-Za-z][A-Za-z0-9+.-]*:{_URI_REST}$"),
    }
)
