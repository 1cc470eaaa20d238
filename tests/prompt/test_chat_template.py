from __future__ import annotations

import subprocess
import sys

import pytest

from edge_llm.errors import ChatTemplateError, InvalidParameterError
from edge_llm.prompt.byte_tokenizer import ByteTokenizer
from edge_llm.prompt.chat_template import CHATML, ChatTemplate
from tests.support.vocabularies import template_source

USER = [{"role": "user", "content": "hi"}]


def template(source: str) -> ChatTemplate:
    return ChatTemplate(source, bos_token="<s>", eos_token="</s>")


def test_chatml_renders_turns() -> None:
    assert template(CHATML).render(USER) == (
        "<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n"
    )


def test_bos_and_eos_come_from_the_vocabulary() -> None:
    made = ChatTemplate.for_tokenizer("{{bos_token}}|{{eos_token}}", ByteTokenizer())

    assert made.render(USER) == "|<|im_end|>"


def test_json_is_as_transformers_writes_it() -> None:
    source = "{{ tools | tojson }}{{ tools | tojson(indent=1) }}{{ x|tojson(sort_keys=true, separators=(',', ':')) }}"  # noqa: E501

    assert template(source).render(USER, [{"a": "<é>&'"}], x={"b": 1, "a": 2}) == (
        '[{"a": "<é>&\'"}][\n {\n  "a": "<é>&\'"\n }\n]{"a":2,"b":1}'
    )


def test_what_map_gives_becomes_a_json_list() -> None:
    source = "{{ messages | map(attribute='content') | tojson }}"

    assert template(source).render(USER) == '["hi"]'


def test_generation_blocks_and_loop_controls_work() -> None:
    source = (
        "{% for m in messages %}{% generation %}{{ m.content }}{% endgeneration %}"
        "{% if true %}{% break %}{% endif %}{% endfor %}"
    )

    assert template(source).render(USER * 2) == "hi"


def test_a_refusal_keeps_the_words_of_the_template() -> None:
    with pytest.raises(ChatTemplateError, match="roles must alternate"):
        template("{{ raise_exception('roles must alternate') }}").render(USER)


@pytest.mark.parametrize("source", ["{% if %}", "{{ x", "{% nonsense %}", "{{" * 500])
def test_what_does_not_parse_is_refused(source: str) -> None:
    with pytest.raises(ChatTemplateError, match="does not parse"):
        template(source)


@pytest.mark.parametrize(
    "source",
    [
        "{{ ''.__class__.__mro__ }}{{ ''.__class__.__mro__[1].__subclasses__() }}",
        "{{ messages.append(1) }}",
        "{{ range(10**9) | list }}",
        "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}",
        "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
        "{% macro f(n) %}{% if n %}{{ f(n-1) }}{{ f(n-1) }}{% endif %}{% endmacro %}{{ f(60) }}",
        "{{ 'a' * 10**9 }}",
        "{{ [1] * 10**9 }}",
        "{{ 10 ** 10 ** 10 }}",
        "{{ '%999999999d' % 1 }}",
        "{{ '{:999999999}'.format(1) }}",
        "{{ 'a'.ljust(10**9) }}",
        "{{ 'a' | center(10**9) }}",
        "{% set ns = namespace(x='aaaaaaaa') %}{% for i in range(60) %}{% set ns.x = ns.x + ns.x %}{% endfor %}",  # noqa: E501
        "{% set ns = namespace(x='aaaaaaaa') %}{% for i in range(60) %}{% set ns.x = ns.x ~ ns.x %}{% endfor %}",  # noqa: E501
        "{% set ns = namespace(x='aaaaaaaa') %}{% for i in range(60) %}{% set y %}{{ ns.x }}{{ ns.x }}{% endset %}{% set ns.x = y %}{% endfor %}",  # noqa: E501
        "{% for i in range(99999) %}" + "a" * 10000 + "{% endfor %}",
        "{{ messages[0].content + 1 }}",
        "{{ undefined.x }}",
        "{{ 1 / 0 }}",
    ],
)
def test_a_hostile_or_broken_template_is_stopped(source: str) -> None:
    with pytest.raises(ChatTemplateError):
        template(source).render(USER)


def test_options_reach_the_template_but_cannot_replace_its_inputs() -> None:
    assert template("{{ enable_thinking }}").render(USER, enable_thinking=False) == "False"
    with pytest.raises(InvalidParameterError, match="'bos_token'"):
        template("x").render(USER, bos_token="y")


def test_facts_are_read_off_the_source() -> None:
    made = template(
        "{% if tools %}{% endif %}{% if enable_thinking %}{% endif %}"
        "{{ messages[0].content.split('</think>')[-1] | replace('/x', '') | upper }}"
    )

    assert (made.supports_tools, made.supports_thinking, made.changes_case) == (True, True, True)
    assert made.needles == {"</think>", "/x"}
    assert not template(CHATML).supports_tools


def test_a_template_without_system_role_is_recognised() -> None:
    source = "{% if messages[0].role == 'system' %}{{ raise_exception('no') }}{% endif %}"

    assert not template(source).supports_system
    assert template(CHATML).supports_system


def test_a_template_for_parts_is_recognised() -> None:
    source = "{% for m in messages %}{% for p in m.content %}{{ p.text }}{% endfor %}{% endfor %}"

    assert template(source).needs_content_parts
    assert not template(CHATML).needs_content_parts


def test_jinja_is_not_imported_with_the_package() -> None:
    code = (
        "import sys, edge_llm.prompt, edge_llm.prompt.chat_template, edge_llm.prompt.encode;"
        "sys.exit('jinja2' in sys.modules)"
    )

    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.peers
def test_gemma_2_takes_no_system_message_and_qwen_3_thinks() -> None:
    assert not template(template_source("google-gemma-2-2b-it")).supports_system
    assert template(template_source("Qwen-Qwen3-0.6B")).supports_thinking


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("{{ messages[0].content | striptags }}", {"uses 'striptags'"}),
        ("{{ messages[0].content[::2] }}", {"takes slices of strings"}),
        (
            "{% set t = messages[0].content %}{{ t[:3] ~ t[4:] }}",
            {"takes slices of strings"},
        ),
        ("{{ messages[0].content | reverse }}", {"uses 'reverse'"}),
        (
            "{{ messages[0].content.replace(messages[1].content, '') }}",
            {"calls 'replace' with what it computes"},
        ),
        ("{{ messages[0].content.strip('!') }}", {"trims '!'"}),
    ],
)
def test_what_the_shield_cannot_see_through_is_named(source: str, expected: set[str]) -> None:
    assert template(source).unshielded == expected


@pytest.mark.parametrize(
    "source",
    [
        "{% for m in messages[1:] %}{{ m.content }}{% endfor %}",
        "{% for m in messages[::-1] %}{{ m.content }}{% endfor %}",
        "{% for m in messages | reverse %}{{ m.content }}{% endfor %}",
        "{{ messages[0].content[:100] }}",
        "{{ messages[0].content.split('</think>')[-1].strip('\\n') | trim }}",
    ],
)
def test_what_templates_usually_do_is_no_cause_for_a_warning(source: str) -> None:
    assert template(source).unshielded == frozenset()


def test_a_text_that_is_cut_out_by_its_name_is_known() -> None:
    source = "{% set mark = '</think>' %}{{ messages[0].content.split(mark)[-1] }}"

    assert template(source).needles == {"</think>"}
    assert template(source).unshielded == frozenset()
