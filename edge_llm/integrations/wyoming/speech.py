"""What Home Assistant says of an intent it has executed: words, or a template for what it found.

Home Assistant renders the text of an intent as a Jinja template of its own. So nothing that a
person or a model said may reach it with braces in it, and the templates here are constants.
Source: home-assistant/core@0945920 components/wyoming/conversation.py, `_render_speech_template`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from edge_llm.types import ToolCall

_BRACES = str.maketrans("{}", "()")


def plain(text: str) -> str:
    """The text without what a template engine would obey."""
    return text.translate(_BRACES)


def _names(states: str) -> str:
    return (
        f"{{% set names = {states} | map(attribute='name') | sort | list %}}"
        "{{ names[:4] | join(', ') }}"
        "{% if names | length > 4 %}, {{ names | length - 4 }} +{% endif %}"
    )


_MATCHED, _UNMATCHED = _names("query.matched"), _names("query.unmatched")
_NOT_FOUND = "{% if state is none %}I could not find that.{% else %}"

_ONE_STATE = (
    _NOT_FOUND + "{% if query.matched %}Yes.{% elif state.state in ('on', 'off') %}No."
    "{% else %}No, {{ state.state | replace('_', ' ') }}.{% endif %}{% endif %}"
)
_ONE = (
    _NOT_FOUND + "{{ state.name }} is {{ state.state_with_unit | replace('_', ' ') }}.{% endif %}"
)
_COUNT = "{{ query.matched | length }}."
_WHICH = "{% if query.matched %}" + _MATCHED + ".{% else %}None.{% endif %}"
_ALL = "{% if not query.unmatched %}Yes.{% else %}No, not " + _UNMATCHED + ".{% endif %}"
_ANY = "{% if query.matched %}Yes, " + _MATCHED + ".{% else %}No.{% endif %}"
_EACH = (
    "{% for one in query.matched[:4] %}"
    "{{ one.name }}: {{ one.state_with_unit | replace('_', ' ') }}. {% endfor %}"
)
_TEMPERATURE = (
    "{% set now = state.attributes.get('current_temperature') %}"
    "{{ now if now is not none else state.state_with_unit }}"
)
_WEATHER = (
    "{{ state.state | replace('partlycloudy', 'partly cloudy') | replace('-', ' ') }},"
    " {{ state.attributes.get('temperature') }} {{ state.attributes.get('temperature_unit') }}."
)
_TIMERS = (
    "{% if not slots.timers %}There is no timer.{% else %}"
    "{% for timer in slots.timers[:4] %}{{ timer.name or '' }} "
    "{% if timer.rounded_hours_left %}{{ timer.rounded_hours_left }} h {% endif %}"
    "{% if timer.rounded_minutes_left %}{{ timer.rounded_minutes_left }} min {% endif %}"
    "{% if timer.rounded_seconds_left %}{{ timer.rounded_seconds_left }} s {% endif %}"
    "left. {% endfor %}{% endif %}"
)

_FOUND: Mapping[str, str] = {
    "HassClimateGetTemperature": _TEMPERATURE,
    "HassGetWeather": _WEATHER,
    "HassGetCurrentTime": "{{ slots.time.strftime('%H:%M') }}",
    "HassGetCurrentDate": "{{ slots.date.strftime('%A, %d %B %Y') }}",
    "HassTimerStatus": _TIMERS,
}
"""The intents that ask, but for HassGetState: Home Assistant finds the answer and says nothing."""

_HOW_MANY = re.compile(r"\bhow many\b", re.IGNORECASE)
_WHICH_ONES = re.compile(r"\b(?:which|what|who)\b", re.IGNORECASE)
_WHETHER_ALL = re.compile(r"\b(?:all|both|every\w*)\b|^\s*are (?:the|my|our)\b", re.IGNORECASE)


def finding(call: ToolCall, said: str) -> str | None:
    """The template that tells what was found; None where the call asks for nothing.

    `said` are the person's own words, which decide how to answer and are no part of it.
    """
    if call.name != "HassGetState":
        return _FOUND.get(call.name)
    asks_for_state = bool(call.arguments.get("state"))
    if call.arguments.get("name"):
        return _ONE_STATE if asks_for_state else _ONE
    if not asks_for_state:
        return _EACH
    if _HOW_MANY.search(said):
        return _COUNT
    if _WHICH_ONES.search(said):
        return _WHICH
    return _ALL if _WHETHER_ALL.search(said) else _ANY
