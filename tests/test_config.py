from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from edge_llm.config import (
    BudgetConfig,
    EdgeConfig,
    PrivacyConfig,
    cache_folder,
    checked_overflow,
    load_config,
    merge_sampling,
    state_folder,
)
from edge_llm.errors import ConfigError, InvalidParameterError, UnknownOptionError
from edge_llm.types import SamplingParams


def test_arguments_go_before_the_environment_before_defaults() -> None:
    environ = {"EDGE_LLM_THREADS": "3", "EDGE_LLM_MODEL": "a.gguf", "PATH": "/bin"}

    config = load_config({"model": "b.gguf", "context_size": None}, environ)

    assert config == EdgeConfig(model="b.gguf", threads=3)


WRONG: list[tuple[dict[str, Any], dict[str, str], str]] = [
    ({"treads": 2}, {}, "threads"),
    ({}, {"EDGE_LLM_TREADS": "2"}, "EDGE_LLM_THREADS"),
    ({}, {"EDGE_LLM_THREADS": "two"}, "whole number, not 'two'"),
    ({}, {"EDGE_LLM_OVERFLOW": "truncate"}, "drop_oldest"),
    ({"threads": True}, {}, "not True"),
    ({"max_decode_slowdown": 1.0}, {}, "above 1"),
    ({}, {"EDGE_LLM_MAX_DECODE_SLOWDOWN": "slow"}, "a number, not 'slow'"),
    ({"model": ""}, {}, "empty"),
    ({"worker": 1}, {}, "True or False"),
    ({}, {"EDGE_LLM_WORKER": "perhaps"}, "1 or 0, true or false"),
    ({"keep_alive": -1.0}, {}, "0 or more"),
    ({"keep_alive": True}, {}, "0 or more"),
    ({"context_size": "all"}, {}, "a whole number or 'auto', not 'all'"),
    ({}, {"EDGE_LLM_CONTEXT_SIZE": "all"}, "a whole number or 'auto', not 'all'"),
    ({"context_size": 8}, {}, "from 16"),
    ({"kv_cache_type": "q4_0"}, {}, "'f16' or 'q8_0', not 'q4_0'"),
    ({}, {"EDGE_LLM_KV_CACHE_TYPE": "f32"}, "'f16' or 'q8_0', not 'f32'"),
    ({"prefill_threads": 0}, {}, "from 1"),
    ({"device": "tpu"}, {}, "'npu' or 'gpu', not 'tpu'"),
    ({}, {"EDGE_LLM_DEVICE": "tpu"}, "'npu' or 'gpu', not 'tpu'"),
    ({"cpu_fallback": 1}, {}, "True or False"),
    ({"provider": "qnn", "provider_options": {"a": 1}}, {}, "names to texts"),
    ({"provider_options": {"a": "1"}}, {}, "without a provider"),
    ({"provider": "qnn"}, {"EDGE_LLM_PROVIDER_OPTIONS": "a"}, "name=value"),
    ({"reserve_cores": -1}, {}, "from 0"),
    ({"cache_max_mb": -1}, {}, "from 0 to"),
    ({}, {"EDGE_LLM_CACHE_DAILY_WRITE_MB": "lots"}, "whole number, not 'lots'"),
]


@pytest.mark.parametrize(("options", "environ", "words"), WRONG, ids=str)
def test_what_is_wrong_is_named(
    options: dict[str, Any], environ: Mapping[str, str], words: str
) -> None:
    with pytest.raises(ConfigError, match=words):
        load_config(options, environ)


@pytest.mark.parametrize(("text", "value"), [("1", True), ("on", True), ("No", False)])
def test_a_switch_can_be_set_in_the_environment(text: str, value: bool) -> None:
    assert load_config({}, {"EDGE_LLM_WORKER": text}).worker is value


@pytest.mark.parametrize(("text", "value"), [("auto", "auto"), ("2048", 2048)])
def test_the_context_may_be_a_number_or_auto(text: str, value: int | str) -> None:
    assert load_config({}, {"EDGE_LLM_CONTEXT_SIZE": text}).context_size == value
    assert load_config({"context_size": value}, {}).context_size == value


def test_threads_and_the_kv_cache_are_set_by_the_environment() -> None:
    environ = {
        "EDGE_LLM_PREFILL_THREADS": "4",
        "EDGE_LLM_RESERVE_CORES": "1",
        "EDGE_LLM_KV_CACHE_TYPE": "q8_0",
    }

    assert load_config({}, environ) == EdgeConfig(
        prefill_threads=4, reserve_cores=1, kv_cache_type="q8_0"
    )


def test_an_empty_variable_counts_as_unset() -> None:
    assert load_config({}, {"EDGE_LLM_MODEL": ""}) == EdgeConfig()


def test_the_cache_is_where_the_configuration_or_the_system_says(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HOME", "/home/user")
    monkeypatch.setenv("XDG_CACHE_HOME", "/var/cache/user")

    assert cache_folder(EdgeConfig()).name == "prefixes"
    assert "edge-llm" in cache_folder(EdgeConfig()).parts
    assert cache_folder(EdgeConfig(cache_dir="~/x")) == Path("/home/user/x")
    assert load_config({}, {"EDGE_LLM_CACHE_MAX_MB": "0"}).cache_max_mb == 0


def test_variables_of_scripts_and_tests_are_left_alone() -> None:
    assert load_config({}, {"EDGE_LLM_PEERS": "/somewhere"}) == EdgeConfig()


def test_sampling_options_go_over_the_defaults() -> None:
    merged = merge_sampling(SamplingParams(top_k=5), {"stop": "END", "seed": None})

    assert merged == SamplingParams(top_k=5, stop=("END",))


def test_an_unknown_sampling_option_is_named_with_its_neighbour() -> None:
    with pytest.raises(UnknownOptionError, match="did you mean 'top_p'"):
        merge_sampling(SamplingParams(), {"topp": 0.9})
    with pytest.raises(TypeError):
        merge_sampling(SamplingParams(), {"topp": 0.9})


def test_overflow_of_a_request_is_checked() -> None:
    assert checked_overflow(None, "drop_oldest") == "drop_oldest"
    assert checked_overflow("error", "drop_oldest") == "error"
    with pytest.raises(InvalidParameterError, match="'cut'"):
        checked_overflow("cut", "error")


def test_options_of_a_provider_can_be_set_in_the_environment() -> None:
    environ = {"EDGE_LLM_PROVIDER": "qnn", "EDGE_LLM_PROVIDER_OPTIONS": "soc_model=60, a=b=c"}

    assert load_config({}, environ) == EdgeConfig(
        provider="qnn", provider_options={"soc_model": "60", "a": "b=c"}
    )


FILE = """
model = "from the file"
threads = 2

[privacy]
label = "local_only"
terms = ["Project Kestrel"]

[budget]
daily_usd = 1
monthly_usd = 20.5
"""


@pytest.fixture
def config_file(tmp_path: Path) -> str:
    path = tmp_path / "edge-llm.toml"
    path.write_text(FILE)
    return str(path)


def test_the_environment_goes_over_the_file_and_arguments_over_both(config_file: str) -> None:
    environ = {
        "EDGE_LLM_CONFIG": config_file,
        "EDGE_LLM_THREADS": "3",
        "EDGE_LLM_BUDGET_DAILY_USD": "0.5",
        "EDGE_LLM_PRIVACY_REGIONS": "DE; FR",
    }

    config = load_config({"model": "given", "privacy": {"label": "allow"}}, environ)

    assert config == EdgeConfig(
        model="given",
        threads=3,
        privacy=PrivacyConfig(label="allow", terms=("Project Kestrel",), regions=("DE", "FR")),
        budget=BudgetConfig(daily_usd=0.5, monthly_usd=20.5),
    )


def test_a_section_can_be_given_as_the_object(config_file: str) -> None:
    given = BudgetConfig(daily_bytes=10)

    config = load_config({"config_file": config_file, "budget": given}, {})

    assert config.budget == given


def test_the_users_own_file_is_read_where_the_environment_is_the_process_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("EDGE_LLM_CONFIG")
    monkeypatch.setattr("edge_llm.config.folders.user_config_file", lambda: tmp_path / "c.toml")
    assert load_config().threads is None

    (tmp_path / "c.toml").write_text("threads = 7")

    assert load_config().threads == 7
    assert load_config({}, {}).threads is None


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("treads = 2", "did you mean 'threads'"),
        ("[privcy]\nlabel = 'allow'", "did you mean 'privacy'"),
        ("[privacy]\nlable = 'allow'", "did you mean 'label'"),
        ("[budget]\ndaily = 1", "daily_usd"),
        ("[budget]\ndaily_usd = -1", "0 to 1000000, not -1"),
        ("[budget]\nmonthly_bytes = 1.5", "whole number"),
        ("[privacy]\nterms = 'one'", "texts"),
        ("[privacy]\nmedia = 'perhaps'", "'refuse' or 'allow'"),
        ("[privacy]\nlan_is_local = 1", "True or False"),
        ("privacy = 'allow'", "must be a PrivacyConfig"),
        ("threads = ", "is not TOML"),
    ],
)
def test_what_is_wrong_in_the_file_is_named(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "wrong.toml"
    path.write_text(text)

    with pytest.raises(ConfigError, match=words):
        load_config({"config_file": str(path)}, {})


def test_a_named_file_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no configuration file"):
        load_config({}, {"EDGE_LLM_CONFIG": str(tmp_path / "absent.toml")})


def test_what_must_not_leave_is_not_shown_either() -> None:
    config = EdgeConfig(privacy=PrivacyConfig(terms=("Kestrel",), patterns=("Kest.*",)))

    assert "Kest" not in repr(config)
    with pytest.raises(ConfigError) as raised:
        PrivacyConfig(terms=("Kestrel", ""))
    assert "Kestrel" not in str(raised.value)


def test_state_is_kept_where_the_configuration_says() -> None:
    assert state_folder(EdgeConfig(state_dir="/x")) == Path("/x")
    assert "edge-llm" in state_folder(EdgeConfig()).parts
