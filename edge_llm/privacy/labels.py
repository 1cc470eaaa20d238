"""What may leave the device, and to whom: labels, trust, and the rule that joins them. Pure."""

from __future__ import annotations

import logging
from enum import StrEnum
from typing import Literal, TypeAlias

logger = logging.getLogger(__name__)

Trust: TypeAlias = Literal["device", "lan", "cloud"]
"""Whose machine it is: this one, another of the owner's, or anybody's."""


class PrivacyLabel(StrEnum):
    """What may leave, from the strictest."""

    LOCAL_ONLY = "local_only"
    REDACT = "redact"
    ALLOW = "allow"


class Passage(StrEnum):
    """What the door does with a request for one endpoint."""

    REFUSE = "refuse"
    REDACT = "redact"
    SEND = "send"


DEFAULT_LABEL = PrivacyLabel.REDACT
"""Where a cloud tier is configured and nobody said anything."""

_ORDER = tuple(PrivacyLabel)


def parse_label(text: object) -> PrivacyLabel:
    """The label that a word means; anything unknown means local only."""
    if isinstance(text, str):
        for label in PrivacyLabel:
            if text.strip().lower() == label:
                return label
    logger.warning("an unknown privacy label counts as local_only")
    return PrivacyLabel.LOCAL_ONLY


def effective_label(*labels: object) -> PrivacyLabel:
    """The strictest of what request, model and configuration say; None says nothing.

    `DEFAULT_LABEL` when nobody says anything.
    """
    said = [parse_label(label) for label in labels if label is not None]
    return min(said, key=_ORDER.index, default=DEFAULT_LABEL)


def passage(label: object, trust: Trust, *, lan_is_local: bool = False) -> Passage:
    """What happens to a request with this label on its way to an endpoint of this trust.

    This device gets everything. The owner's own network gets what the label allows, and under
    `lan_is_local` everything; anybody else what the label allows.
    """
    if trust == "device" or (trust == "lan" and lan_is_local):
        return Passage.SEND
    return {
        PrivacyLabel.LOCAL_ONLY: Passage.REFUSE,
        PrivacyLabel.REDACT: Passage.REDACT,
        PrivacyLabel.ALLOW: Passage.SEND,
    }[parse_label(label)]
