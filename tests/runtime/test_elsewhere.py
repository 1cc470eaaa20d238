"""The endpoints of a runtime, asked without its local models."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from edge_llm.errors import PrivacyError, RuntimeClosedError
from edge_llm.runtime.async_llm import AsyncEdgeLLM
from edge_llm.runtime.elsewhere import remote_part
from tests.support.cloud_server import CloudServer
from tests.support.hybrid import CLOUD_ANSWER, LOCAL, cloud


def test_without_endpoints_there_is_no_such_part() -> None:
    assert remote_part(AsyncEdgeLLM()) is None
    assert remote_part(AsyncEdgeLLM(tiers=[LOCAL, {**LOCAL, "name": "second"}])) is None


def test_it_has_the_endpoints_the_rules_for_them_and_all_else() -> None:
    rules = ({"tag": "a", "tier": "cloud"}, {"tag": "b", "tier": "local"})
    llm = AsyncEdgeLLM(
        cloud_url="https://example.org/v1",
        cloud_model="m",
        system_prompt="Be brief.",
        escalation={"rules": rules, "deadline_s": 9},
        budget={"daily_usd": 1.0},
    )
    part = remote_part(llm)

    assert part is not None
    assert [tier.name for tier in part.config.tiers] == ["cloud"]
    assert part.config.escalation.rules == rules[:1]
    escalation = replace(llm.config.escalation, rules=rules[:1])
    assert part.config == replace(
        llm.config,
        tiers=part.config.tiers,
        cloud_url=None,
        cloud_model=None,
        escalation=escalation,
    )


def test_it_answers_loads_nothing_and_keeps_what_must_not_leave() -> None:
    async def run() -> None:
        with CloudServer(CLOUD_ANSWER) as server:
            llm = AsyncEdgeLLM(tiers=[LOCAL, cloud(server)], privacy={"label": "allow"})
            part = remote_part(llm)
            assert part is not None
            async with part:
                assert (await part.chat("hello")).text == "From the cloud."
                with pytest.raises(PrivacyError):
                    await part.chat("hello", privacy="local_only")
                with pytest.raises(RuntimeClosedError):
                    part.facts  # noqa: B018 — a property that raises
            assert len(server.requests) == 1

    asyncio.run(run())
