"""Numbers of people, country by country; a country is a line in the file of its continent."""

from __future__ import annotations

from edge_llm.privacy.national.africa import AFRICA
from edge_llm.privacy.national.americas import AMERICAS
from edge_llm.privacy.national.asia_pacific import ASIA_PACIFIC
from edge_llm.privacy.national.eastern_europe import EASTERN_EUROPE
from edge_llm.privacy.national.northern_europe import NORTHERN_EUROPE
from edge_llm.privacy.national.western_europe import WESTERN_EUROPE

ALL = (
    *AMERICAS,
    *WESTERN_EUROPE,
    *NORTHERN_EUROPE,
    *EASTERN_EUROPE,
    *ASIA_PACIFIC,
    *AFRICA,
)
