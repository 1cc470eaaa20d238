"""What is reserved of a budget before a request leaves."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge_llm.cloud.budget import open_budget
from edge_llm.cloud.client import CloudClient
from edge_llm.cloud.failover import CloudTier
from edge_llm.config import BudgetConfig
from edge_llm.errors import BudgetExceededError
from edge_llm.privacy import PrivacyLabel, Redactor
from edge_llm.runtime.chat_request import ChatRequest
from edge_llm.runtime.endpoints import create_endpoint
from edge_llm.runtime.judging import refinement
from edge_llm.runtime.outgoing import NOTHING_MORE, Door

REQUEST = ChatRequest(
    [{"role": "user", "content": "why?"}], {"max_tokens": 10}, label=PrivacyLabel.ALLOW
)
DRAFT = "because " * 4000


def door(folder: Path, **limits: float) -> Door:
    budget = open_budget(folder / "budget.sqlite", BudgetConfig(**limits))  # type: ignore[arg-type]
    return Door(lambda: Redactor(()), budget)


@pytest.fixture
def cloud() -> CloudTier:
    prices = {"input_usd": 100.0, "output_usd": 100.0}
    table = {"base_url": "https://example.com/v1", "model": "m", "prices": prices}
    return CloudTier([CloudClient(create_endpoint(table))])


def test_a_draft_that_is_sent_along_is_paid_for(tmp_path: Path, cloud: CloudTier) -> None:
    """The limit holds what the question costs, and not what the question with its draft costs."""
    shut = door(tmp_path, daily_usd=0.1)

    shut.outgoing(cloud, REQUEST, 5, NOTHING_MORE)
    with pytest.raises(BudgetExceededError):
        shut.outgoing(cloud, REQUEST, 5, refinement(DRAFT))


def test_a_draft_that_is_sent_along_counts_among_the_bytes(
    tmp_path: Path, cloud: CloudTier
) -> None:
    shut = door(tmp_path, daily_bytes=8000)

    shut.outgoing(cloud, REQUEST, 5, NOTHING_MORE)
    with pytest.raises(BudgetExceededError):
        shut.outgoing(cloud, REQUEST, 5, refinement(DRAFT))
