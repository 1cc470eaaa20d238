"""Which finders look at a text, as the configuration says."""

from __future__ import annotations

from edge_llm.config import PrivacyConfig
from edge_llm.privacy.kinds import (
    api_key,
    assignment,
    card,
    email,
    gps,
    iban,
    national_id,
    network,
    url,
)
from edge_llm.privacy.kinds.pattern import create_pattern_finder
from edge_llm.privacy.kinds.phone import PhoneFinder
from edge_llm.privacy.kinds.term import TermFinder
from edge_llm.privacy.placeholders import find_placeholders
from edge_llm.privacy.recogniser import create_recogniser_finder, load_recogniser
from edge_llm.privacy.spans import Finder

ALWAYS: tuple[Finder, ...] = (
    find_placeholders,
    api_key.find,
    assignment.find,
    url.find,
    email.find,
    iban.find,
    card.find,
    national_id.find,
    gps.find,
    network.find_mac,
    network.find_ip,
)


def create_finders(config: PrivacyConfig) -> tuple[Finder, ...]:
    """All finders that the configuration means.

    Raises:
        PrivacyRuleError: a region, pattern or recogniser cannot be used.
    """
    finders: list[Finder] = [*ALWAYS, PhoneFinder(config.regions)]
    if config.terms:
        finders.append(TermFinder(config.terms))
    if config.patterns:
        finders.append(create_pattern_finder(config.patterns))
    if config.recogniser is not None:
        finders.append(create_recogniser_finder(load_recogniser(config.recogniser)))
    return tuple(finders)
