"""The tiers of a configuration, open for questions: who is asked, how, and at what cost."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

from edge_llm.cloud.types import Endpoint
from edge_llm.config import EdgeConfig
from edge_llm.config.confidence import NO_CALIBRATION
from edge_llm.errors import ConfigError
from edge_llm.evaluate.data.example import Example
from edge_llm.evaluate.recording import Said
from edge_llm.evaluate.replay.asking import Asker, Manner
from edge_llm.evaluate.replay.estimate import Estimate, estimate_usd
from edge_llm.evaluate.replay.journal import Journal, asked_key
from edge_llm.evaluate.replay.judges import JUDGE_TOKENS, Judge, ModelJudge, PythonJudge
from edge_llm.evaluate.replay.run import Side
from edge_llm.hub.fingerprint import content_fingerprint
from edge_llm.hub.resolve import resolve_model
from edge_llm.runtime.build import check_tiers, local_config, open_tiers, tier_configs
from edge_llm.runtime.local import LocalModel, load_local_model
from edge_llm.runtime.outgoing import NOTHING_MORE, Extra
from edge_llm.runtime.tier_set import TierSet
from edge_llm.runtime.tiers import LocalTier, RemoteTier, Tier

CLOUD_JUDGE = "cloud"
REFINED = "refined"
"""Of the journal: the cloud that was shown the local draft."""


@dataclass(frozen=True, slots=True)
class Session:
    """Owns open tiers for one run."""

    config: EdgeConfig
    tiers: TierSet
    manner: Manner
    local_key: str
    """Tells local models apart, by their files and how they are asked."""

    @property
    def local(self) -> LocalTier:
        """The first local tier: the one whose answers are judged.

        Raises:
            ConfigError: there is none.
        """
        tier = next(self.tiers.local_tiers, None)
        if tier is None:
            raise ConfigError("there is no local tier to calibrate", hint="set a model")
        return tier

    @property
    def cloud(self) -> Tier | None:
        """The tier after it; None where there is none."""
        names = [tier.name for tier in self.tiers.tiers]
        after = self.tiers.tiers[names.index(self.local.name) + 1 :]
        return after[0] if after else None

    def local_side(self) -> Side:
        """Asks the local tier, as many questions at once as its engine takes."""
        asker = Asker(self.config, self.tiers, self.manner)
        tier = self.local
        return Side(
            "local", self.local_key, lambda example: asker.ask(tier, example),
            concurrency=self.config.max_num_seqs,
        )  # fmt: skip

    def cloud_side(
        self, concurrency: int = 4, extra: Callable[[Example], Extra] = lambda one: NOTHING_MORE,
        what: str = "cloud",
    ) -> Side | None:  # fmt: skip
        """Asks the tier after it; None where there is none."""
        tier = self.cloud
        if tier is None:
            return None
        asker = Asker(self.config, self.tiers, self.manner)
        return Side(
            what,
            self.cloud_key(what),
            lambda example: asker.ask(tier, example, extra(example)),
            concurrency=concurrency,
            worst_usd=self.worst_usd,
        )

    def cloud_key(self, what: str) -> str:
        """Tells cloud models apart, by their addresses, names and how they are asked."""
        tier = self.cloud
        if isinstance(tier, RemoteTier):
            who: list[str] = [
                f"{c.endpoint.base_url} {c.endpoint.model}" for c in tier.cloud.clients
            ]
        else:
            who = [] if tier is None else [tier.name, tier.model.facts.name, self.local_key]
        draft = self.local_key if what == REFINED else ""
        return asked_key(what=what, who=who, manner=repr(self.manner), draft=draft)

    def worst_usd(self, example: Example) -> float:
        """The most that one question can cost; 0 where nobody knows a price."""
        most = estimate_usd(self._endpoints(), [example], self.manner.max_tokens)[1]
        return most or 0.0

    def judge(self, reference: str | None, rubric: str | None) -> Judge | None:
        """The judge that `--judge` means: a callable, or the cloud's model.

        Raises:
            ConfigError: there is no such judge.
        """
        if reference is None:
            return None
        if reference != CLOUD_JUDGE:
            return PythonJudge(reference)
        tier = self.cloud
        if tier is None:
            raise ConfigError("--judge cloud needs a cloud tier")
        manner = replace(self.manner, max_tokens=JUDGE_TOKENS)
        asker = Asker(self.config, self.tiers, manner)
        return ModelJudge(
            self.cloud_key("judge"),
            lambda one: asker.ask(tier, one),
            rubric,
            lambda one: estimate_usd(self._endpoints(), [one], JUDGE_TOKENS)[1] or 0.0,
        )

    def forget(self, journal: Journal, examples: Sequence[Example]) -> None:
        """Remove what the tiers said to these questions in earlier runs."""
        keys = {one.key for one in examples}
        for asked in (self.local_key, self.cloud_key("cloud"), self.cloud_key(REFINED)):
            journal.forget(asked, keys)

    def estimate(
        self, journal: Journal, examples: Sequence[Example], judged: bool, *, refines: bool = False
    ) -> Estimate:
        """What is left to be asked, and what it will cost.

        `judged`: by the cloud's model; `refines`: it may be asked to improve any draft, too.
        """
        unique = list({one.key: one for one in examples}.values())
        local = journal.answers(self.local_key)
        cloud = journal.answers(self.cloud_key("cloud")) if self.cloud is not None else {}
        missing = [] if self.cloud is None else [one for one in unique if one.key not in cloud]
        if refines and self.cloud is not None:
            done = journal.answers(self.cloud_key(REFINED))
            missing += [one for one in unique if one.key not in done]
        known = [said for said in cloud.values() if said.error is None]
        expected, most = self._usd(missing, known)
        num_judged = 0
        if judged and missing:
            graded = [one for one in missing if one.grader is None or one.rubric is not None]
            num_judged = 2 * len(graded)
            more = self._usd([*graded, *graded], [])
            expected = _sum(expected, more[0])
            most = _sum(most, more[1])
        return Estimate(
            num_questions=len(examples),
            num_local=sum(one.key not in local for one in unique),
            num_cloud=len(missing),
            num_judged=num_judged,
            expected_usd=expected,
            most_usd=most,
        )

    def _usd(
        self, examples: Sequence[Example], known: Sequence[Said]
    ) -> tuple[float | None, float | None]:
        return estimate_usd(self._endpoints(), examples, self.manner.max_tokens, known)

    def _endpoints(self) -> list[Endpoint]:
        tier = self.cloud
        if not isinstance(tier, RemoteTier):
            return []
        return [client.endpoint for client in tier.cloud.clients]


def _sum(one: float | None, other: float | None) -> float | None:
    return None if one is None or other is None else one + other


@asynccontextmanager
async def open_session(
    config: EdgeConfig,
    manner: Manner,
    load_model: Callable[[EdgeConfig], LocalModel] = load_local_model,
) -> AsyncIterator[Session]:
    """The tiers of a configuration, loaded; closed at the end of the block.

    Raises:
        ConfigError: a tier cannot be used.
        ModelError: a model cannot be found, read or run.
    """
    # What is measured here decides about calibrations; none may decide about it.
    settings = replace(config.confidence, calibration=NO_CALIBRATION, require_calibration=False)
    config = replace(config, confidence=settings)
    check_tiers(config)
    tiers = await asyncio.to_thread(open_tiers, config, load_model)
    try:
        yield Session(config, tiers, manner, await asyncio.to_thread(_local_key, config, manner))
    finally:
        await asyncio.to_thread(tiers.close_blocking)
        await tiers.close_connections()


def _local_key(config: EdgeConfig, manner: Manner) -> str:
    tier = next((one for one in tier_configs(config) if one.is_local), None)
    if tier is None:
        return ""
    own = local_config(config, tier)
    return asked_key(
        what="local",
        file=content_fingerprint(resolve_model(own.model).path),
        template=own.chat_template,
        system=own.system_prompt,
        kv=own.kv_cache_type,
        self_certainty=config.confidence.self_certainty,
        manner=repr(manner),
    )
