"""How long to wait before asking again. Pure but for the dice that are handed in."""

from __future__ import annotations

import math
import random
import time
from collections.abc import Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime

BASE_S = 0.5
CAP_S = 8.0
LONGEST_RETRY_AFTER_S = 86_400.0


def retry_after_s(headers: Mapping[str, str], now_s: float | None = None) -> float | None:
    """Seconds that the endpoint asks to wait, from `retry-after-ms` or `retry-after`.

    A date is compared with the endpoint's own `date` where it sent one, because the clock of a
    small device may be wrong. `headers` has lower-case names.

    Source: RFC 9110 section 10.2.3; `retry-after-ms` is Azure's.
    """
    for name, divisor in (("retry-after-ms", 1000.0), ("retry-after", 1.0)):
        value = _number(headers.get(name))
        if value is not None:
            return min(max(0.0, value / divisor), LONGEST_RETRY_AFTER_S)
    moment = _moment(headers.get("retry-after"))
    if moment is None:
        return None
    now = _moment(headers.get("date"))
    if now is None:
        now = time.time() if now_s is None else now_s
    return min(max(0.0, moment - now), LONGEST_RETRY_AFTER_S)


def wait_s(attempt: int, retry_after_s: float | None, dice: random.Random) -> float:
    """Seconds to wait after attempt number `attempt` (0 is the first): exponential, full jitter.

    Never sooner than the endpoint asked, and then spread a little, so that not all come at once.

    Source: https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/
    """
    if retry_after_s is not None:
        return retry_after_s + dice.uniform(0.0, min(BASE_S, 0.1 * retry_after_s))
    return dice.uniform(0.0, min(CAP_S, BASE_S * 2.0 ** min(attempt, 10)))


def _number(text: str | None) -> float | None:
    try:
        value = float(text) if text is not None else math.nan
    except ValueError:
        return None
    return None if math.isnan(value) else value


def _moment(text: str | None) -> float | None:
    if text is None:
        return None
    try:
        moment = parsedate_to_datetime(text)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (TypeError, ValueError, OverflowError):
        return None
