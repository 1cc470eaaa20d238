"""Tiers in configuration, and what decides between them beside the draft itself."""

import json
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest

from edge_llm.backends.fake import fake_capabilities
from edge_llm.config import EdgeConfig, load_config
from edge_llm.errors import BudgetExceededError, ConfigError, NoRouteError, UnknownOptionError
from edge_llm.routing.base import HealthFacts
from edge_llm.runtime.build import check_tiers, tier_configs
from edge_llm.runtime.llm import EdgeLLM
from edge_llm.runtime.model_router import hardness_of
from tests.support.cloud_server import CloudServer
from tests.support.hybrid import CLOUD_ANSWER, LOCAL, DoubtfulBackend, cloud, hybrid
from tests.support.runtimes import fake_runtime, local_model

LAN = {"name": "shed", "base_url": "http://192.168.1.9/v1", "model": "m", "trust": "lan"}
REMOTE = {"name": "cloud", "base_url": "https://example.org/v1", "model": "m"}

TOML = """
[escalation]
hold = "window(8)"

[[tiers]]
model = "builtin"
context_size = 512

[[tiers]]
name = "many"
order = "price"
[[tiers.endpoints]]
base_url = "https://example.org/v1"
model = "m"
key_env = "SOME_KEY"
prices = { input_usd = 1.0, output_usd = 2.0 }
capabilities = ["tools"]
"""


def load(options: dict[str, Any], environ: dict[str, str] | None = None) -> EdgeConfig:
    return load_config(options, environ or {})


def test_tiers_come_from_toml(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text(TOML)
    config = load({"config_file": str(path)})
    check_tiers(config)

    local, many = tier_configs(config)
    assert (local.name, local.model, dict(local.options)) == (
        "local",
        "builtin",
        {"context_size": 512},
    )
    assert (many.name, many.order, many.is_local) == ("many", "price", False)
    assert config.escalation.hold == "window(8)"


def test_tiers_come_from_the_environment() -> None:
    config = load(
        {}, {"EDGE_LLM_TIERS": json.dumps([LOCAL, REMOTE]), "EDGE_LLM_ESCALATION_HOLD": "full"}
    )
    check_tiers(config)

    assert [tier.name for tier in tier_configs(config)] == ["local", "cloud"]
    assert config.escalation.hold == "full"


def test_the_short_way_adds_one_tier_at_the_end() -> None:
    config = load({"cloud_url": "https://example.org/v1", "cloud_model": "m"}, {})
    check_tiers(config)

    assert [tier.name for tier in tier_configs(config)] == ["local", "cloud"]


def test_a_key_alone_configures_nothing() -> None:
    config = load({}, {"OPENAI_API_KEY": "sk-x"})

    assert [tier.is_local for tier in tier_configs(config)] == [True]


WRONG: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"tiers": "cloud"}, ConfigError, "list of tables"),
    ({"tiers": [LOCAL, LOCAL]}, ConfigError, "two tiers"),
    ({"tiers": [{"name": "x"}]}, ConfigError, "local model or endpoints"),
    ({"tiers": [{**LOCAL, "contextsize": 5}]}, UnknownOptionError, "context_size"),
    ({"tiers": [LOCAL, {**REMOTE, "base": 1}]}, UnknownOptionError, "base_url"),
    ({"tiers": [LOCAL, {**REMOTE, "capabilities": ["tool"]}]}, UnknownOptionError, "tools"),
    ({"tiers": [LOCAL, {"base_url": "https://x/v1"}]}, ConfigError, "model"),
    ({"tiers": [LOCAL, {**REMOTE, "base_url": "http://x/v1"}]}, ConfigError, "in the clear"),
    ({"cloud_model": "m"}, ConfigError, "cloud_url"),
    ({"cloud_url": "https://x/v1"}, ConfigError, "cloud_model"),
    ({"escalation": {"policies": ["privcy"]}}, UnknownOptionError, "privacy"),
    ({"escalation": {"hold": "words"}}, Exception, "hold must be"),
    ({"escalation": {"threshold": 2}}, ConfigError, "threshold"),
    ({"escalation": {"rules": [{"tier": "local"}]}}, ConfigError, "tag"),
    ({"escalation": {"rules": [{"tier": "moon", "tag": "x"}]}}, ConfigError, "moon"),
    ({"escalation": {"rules": [{"tier": "local", "pattern": "("}]}}, ConfigError, "parse"),
]


@pytest.mark.parametrize(("options", "error", "words"), WRONG, ids=lambda v: str(v)[:40])
def test_what_cannot_be_meant_is_refused_before_anything_is_loaded(
    options: dict[str, Any], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        EdgeLLM("nowhere.gguf", **options)


def test_a_second_local_model_is_asked_before_the_cloud() -> None:
    small = DoubtfulBackend("?", capabilities=fake_capabilities(max_model_len=128))
    large = DoubtfulBackend("I know.")
    models = {"small": local_model(small), "large": local_model(large)}
    tiers = [{"name": "small", "model": "small"}, {"name": "large", "model": "large"}]
    with (
        CloudServer(CLOUD_ANSWER) as server,
        mock.patch("edge_llm.runtime.health.read_health", return_value=HealthFacts()),
        mock.patch(
            "edge_llm.runtime.async_llm.load_local_model",
            side_effect=lambda config: models[config.model],
        ),
        EdgeLLM(tiers=[*tiers, cloud(server)], privacy={"label": "allow"}) as llm,
    ):
        answer = llm.chat("x" * 200)

    assert (answer.tier, answer.route, answer.text) == ("large", "local", "I know.")
    assert answer.reason == "context_length"
    assert server.requests == []


def test_with_nothing_said_what_leaves_is_redacted_and_the_reply_restored() -> None:
    echo = "echo\nfinish stop\nusage 9 3\ndone"
    with hybrid(DoubtfulBackend("?", unsure=0.9), echo, privacy={}) as (llm, server):
        answer = llm.chat("Write to ada@example.org about it.")

    assert b"ada@example.org" not in server.requests[0].body
    assert answer.text == "Write to ada@example.org about it."
    assert sum(answer.redactions.values()) == 1


@pytest.mark.parametrize("label", ["local_only", "secret-ish"])
def test_a_label_that_is_strict_or_unknown_keeps_everything_here(label: str) -> None:
    with hybrid(DoubtfulBackend("Here.", unsure=0.9), privacy={"label": "allow"}) as (llm, server):
        answer = llm.chat("x", privacy=label)

    assert (answer.text, answer.degraded) == ("Here.", True)
    assert server.requests == []


def test_offline_is_normal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGE_LLM_OFFLINE", "1")
    with hybrid(DoubtfulBackend("Here.", unsure=0.9), tiers=[LOCAL, REMOTE]) as (llm, _):
        answer = llm.chat("x")
        with pytest.raises(NoRouteError, match="cloud: offline"):
            llm.chat("x" * 2000)

    assert (answer.text, answer.degraded, answer.reason) == ("Here.", True, "unsure")
    assert [attempt.tier for attempt in answer.attempts] == ["local"], "the cloud was not tried"


def test_a_breaker_that_is_open_keeps_requests_here() -> None:
    with hybrid(DoubtfulBackend("Here.", unsure=0.9), "status 401\nbody {}") as (llm, server):
        first, second = llm.chat("x"), llm.chat("x")

    assert [attempt.tier for attempt in first.attempts] == ["local", "cloud"]
    assert [attempt.tier for attempt in second.attempts] == ["local"]
    assert len(server.requests) == 1


def test_what_the_budget_has_no_room_for_stays_here(tmp_path: Path) -> None:
    prices = {"input_usd": 1000.0, "output_usd": 1000.0}
    with (
        CloudServer(CLOUD_ANSWER) as server,
        hybrid(
            DoubtfulBackend("Here.", unsure=0.9),
            tiers=[LOCAL, cloud(server, prices=prices)],
            budget={"daily_usd": 0.05},
            state_dir=str(tmp_path),
        ) as (llm, _),
    ):
        cheap = llm.chat("x", max_tokens=5)
        dear = llm.chat("x", max_tokens=500)

    assert (cheap.route, dear.route, dear.degraded) == ("cloud", "local", True)
    assert len(server.requests) == 1
    assert cheap.cost_usd == pytest.approx(0.012)


def test_a_hot_device_spares_its_model_and_answers_all_the_same_where_nobody_else_can() -> None:
    hot = mock.patch(
        "edge_llm.runtime.health.read_health", return_value=HealthFacts(temperature_c=95.0)
    )
    with hybrid(DoubtfulBackend("Here.")) as (llm, _), hot:
        llm._async._tiers.health._read = lambda: HealthFacts(temperature_c=95.0)  # type: ignore[union-attr]
        spared = llm.chat("x")
        kept = llm.chat("x", privacy="local_only")

    assert (spared.route, spared.reason, spared.signal) == ("cloud", "health", "temperature_c")
    assert (spared.score, spared.threshold) == (95.0, 85.0)
    assert (kept.route, kept.degraded, kept.reason) == ("local", True, "health")


class Opinion(DoubtfulBackend):
    """Answers `B` to the router where the request mentions a proof, else `A`."""

    def _say(self, tokens: Any) -> Any:
        text = bytes(token for token in tokens if token < 256)
        if b"Answer with one letter" in text and text.endswith(b"assistant\n"):
            row = np.zeros(self.tokenizer.vocab_size, np.float32)
            hard = b"proof" in text
            row[ord("B")], row[ord("A")] = (12.0, 10.0) if hard else (8.0, 12.0)
            return row
        return super()._say(tokens)


def test_the_model_router_asks_the_local_model_before_it_answers() -> None:
    policies = [*EdgeConfig().escalation.policies, "model_router"]
    backend = Opinion("Here.")
    with hybrid(backend, escalation={"policies": policies}) as (llm, _):
        easy, hard = llm.chat("lights on"), llm.chat("a proof, please")

    assert (easy.route, easy.reason) == ("local", None)
    assert (hard.route, hard.reason, hard.signal) == ("cloud", "model_router", "hardness")
    assert hard.score == pytest.approx(1 / (1 + np.exp(-2.0)), abs=1e-3)
    assert hard.wasted_tokens == 0


def test_a_model_that_says_neither_label_has_no_opinion() -> None:
    from edge_llm.engine.request import SequenceEvent

    assert hardness_of(SequenceEvent(1, (3,))) is None


def test_one_local_model_alone_needs_no_rules_and_takes_every_option() -> None:
    with fake_runtime(DoubtfulBackend("Here.")) as llm:
        answer = llm.chat("x", hold="full", on_doubt="race", privacy="allow", tags=["a"])
        refused = llm.chat("x", validator=str.isdigit)

    assert (answer.text, answer.degraded, answer.score) == ("Here.", False, None)
    assert (refused.degraded, refused.reason) == (True, "validator")


def test_where_only_the_cloud_could_answer_the_error_names_the_budget(tmp_path: Path) -> None:
    small = DoubtfulBackend("?", capabilities=fake_capabilities(max_model_len=64))
    prices = {"input_usd": 1000.0, "output_usd": 1000.0}
    with (
        CloudServer(CLOUD_ANSWER) as server,
        hybrid(
            small,
            tiers=[LOCAL, cloud(server, prices=prices)],
            budget={"daily_usd": 0.01},
            state_dir=str(tmp_path),
        ) as (llm, _),
        pytest.raises((NoRouteError, BudgetExceededError), match="budget"),
    ):
        llm.chat("x" * 100)
