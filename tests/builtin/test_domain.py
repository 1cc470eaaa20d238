"""A domain of one's own, from text files alone: the shop of the examples, and small broken ones."""

from __future__ import annotations

import itertools
import re
import subprocess
import sys
from pathlib import Path

import pytest

from scripts.builtin.chat import UNSURE, UNSURE_KEY, render_body
from scripts.builtin.conversations import Conversation, Kind, Source
from scripts.builtin.domain import HOME, load_domain
from scripts.builtin.evaluate import SUITES, fit_suites
from scripts.builtin.generator import Generator, group_patterns
from scripts.builtin.gguf_copy import read_gguf
from scripts.builtin.proofread import find_mistakes
from tests.support.builtin_shop import FOLDER, SHOP

GUIDE = (HOME.parent / "README.md").read_text(encoding="utf-8")
SOURCES = (Source(), Source(bare=True, slips=0.2), Source(True, True))


def draw(source: Source, count: int) -> list[Conversation]:
    return list(itertools.islice(Generator("tests", source, SHOP), count))


def test_the_example_has_what_the_guide_says() -> None:
    assert len(SHOP.intents) == 12
    assert len(SHOP.grammar.patterns) >= 150
    assert min(len(g) for g in group_patterns(SHOP, held_out=False).values()) >= 10
    assert all(intent.reply for intent in SHOP.intents.values())
    assert list(find_mistakes(SHOP)) == []


@pytest.mark.parametrize("source", SOURCES)
def test_every_call_fits_the_table(source: Source) -> None:
    calls = [call for c in draw(source, 1000) for m in c.messages for call in m.calls]

    assert {call.name for call in calls} == set(SHOP.intents)
    assert [fault for call in calls for fault in SHOP.intents.find_faults(call)] == []


def test_what_is_copied_was_typed_and_what_is_chosen_is_in_the_list() -> None:
    meant = {entry.partition(" = ")[2] or entry for entry in SHOP.lexicon["sizes"]}
    for conversation in draw(Source(bare=True, kinds=(Kind.COMMAND,)), 1000):
        user, reply = conversation.messages
        for call in reply.calls:
            for slot in {"item", "note"} & set(call.arguments):
                assert str(call.arguments[slot]) in user.content
            assert call.arguments.get("size", "small") in meant


def test_what_only_a_home_has_is_off() -> None:
    generator = Generator(0, domain=SHOP)

    assert set(generator.kinds) == {
        Kind.COMMAND, Kind.REFUSED, Kind.SMALL_TALK, Kind.UNOFFERED, Kind.TOOL_RESULT,
    }  # fmt: skip
    with pytest.raises(ValueError, match="shop-assistant has no texts for: follow-up"):
        Generator(0, Source(kinds=(Kind.FOLLOW_UP,)), SHOP)


def test_suites_are_cut_to_what_a_domain_has() -> None:
    suites = fit_suites(SHOP)

    assert fit_suites(load_domain()) == SUITES
    assert set(SUITES) - set(suites) == {
        "listed home", "follow-ups and corrections", "what the home lacks",
    }  # fmt: skip
    assert suites["small talk and time"].kinds == (Kind.SMALL_TALK,)
    assert suites["test patterns"] == SUITES["test patterns"]


def test_two_in_five_single_turns_are_out_of_scope_here_as_well() -> None:
    drawn = draw(Source(bare=True), 1000)
    unsure = [c for c in drawn if render_body(c.messages[-1]).startswith(UNSURE)]

    assert 0.35 < len(unsure) / len(drawn) < 0.5
    assert {c.topic for c in unsure} == set(SHOP.grammar.refused)


def test_lines_of_the_home_that_do_not_fit_stay_behind() -> None:
    home, shop = (load_domain(f).grammar.refused["knowledge"] for f in (HOME, FOLDER))

    assert set(shop) < set(home)
    assert any("price" in line for line in home)
    assert not any("price" in line for line in shop)


def write_domain(folder: Path, **changes: str) -> Path:
    """A domain of one intent, with some of its files written otherwise."""
    files = {
        "intents.toml": '[intents.Buy]\nslots = { item = "text" }\nreply = "buying it"\n',
        "patterns/Buy.txt": "[command]\nbuy {item from goods}\n",
        "words/goods.txt": "tea\nsalt\n",
        "refused/other.txt": "who are you\n",
    }
    for name, text in (files | changes).items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return folder


def test_one_intent_and_one_line_are_a_domain(tmp_path: Path) -> None:
    domain = load_domain(write_domain(tmp_path / "kiosk"))

    drawn = list(itertools.islice(Generator(0, domain=domain), 200))

    assert domain.about.name == "kiosk"
    assert list(find_mistakes(domain)) == []
    assert {c.kind for c in drawn} == {Kind.COMMAND, Kind.REFUSED, Kind.TOOL_RESULT}


@pytest.mark.parametrize(
    ("file", "text", "message"),
    [
        ("intents.toml", "[intent.Buy]", "'intent' is not one of intents"),
        ("intents.toml", "[intents.Buy", "intents.toml"),
        ("intents.toml", "[intents.Buy]\n", r"\[intents.Buy\] has no reply"),
        ("intents.toml", '[model]\nnmae = "x"\n', "'nmae'"),
        ("intents.toml", 'words.in_questions = ["god"]\nintents.Buy.reply = "-"', "'god' is not"),
        ("intents.toml", 'from_home.refused = ["x"]\nintents.Buy.reply = "-"', "'x' is not one of"),
        ("patterns/Sell.txt", "[command]\nsell it\n", r"no \[intents.Sell\]"),
        ("patterns/Buy.txt", "buy it\n", "Buy.txt:1: 'buy it' stands before"),
        ("refused/other.txt", "", "sure of everything"),
    ],
)
def test_a_folder_that_is_no_domain_says_why(
    tmp_path: Path, file: str, text: str, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        load_domain(write_domain(tmp_path, **{file: text}))


@pytest.mark.parametrize(
    ("pattern", "mistake"),
    [
        ("buy {thing from goods}", "Buy has no slot 'thing'"),
        ("buy {item from good}", "there is no words/good.txt"),
        ("buy {itm}", "there is no filler {itm}"),
        ("buy <some>{item from goods}", "there is no macro <some>"),
        ("buy (some|more {item from goods}", "not closed"),
        ("buy {count:item}", "Buy.item cannot be"),
        ("buy {put:item}", "a slot cannot be filled"),
        ("buy {command:item}", "needs an intent that can_wait"),
    ],
)
def test_a_mistake_in_a_pattern_is_found(tmp_path: Path, pattern: str, mistake: str) -> None:
    text = f"[command]\nbuy tea\n{pattern}\n"
    domain = load_domain(write_domain(tmp_path, **{"patterns/Buy.txt": text}))

    found = next(iter(find_mistakes(domain)))

    assert found.startswith(f"patterns/Buy.txt: {pattern!r}: ")
    assert mistake in found


def test_the_command_line_reads_a_domain() -> None:
    lines = run("sample", "--intent", "ShowCart").splitlines()

    assert len(lines) == 2 * sum(p.intent == "ShowCart" for p in SHOP.grammar.patterns)
    assert run("proofread").endswith("no mistakes\n")


def test_the_command_line_refuses_what_is_no_domain(tmp_path: Path) -> None:
    with pytest.raises(subprocess.CalledProcessError) as failed:
        run("sample", domain=tmp_path)

    assert failed.value.stderr.strip() == f"sample: {tmp_path} is no domain: it has no intents.toml"


def run(*arguments: str, domain: Path = FOLDER) -> str:
    command = [sys.executable, "-m", "scripts.builtin", *arguments, "--domain", str(domain)]
    root = HOME.parents[2]
    return subprocess.run(command, cwd=root, text=True, capture_output=True, check=True).stdout


def test_a_model_comes_out_whose_unsure_token_is_named(tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="training needs torch: pip install 'edge-llm[train]'")
    from scripts.builtin.export import export_gguf
    from scripts.builtin.train import TrainConfig, train

    # At least one step, however slow the machine.
    config = TrainConfig(
        tmp_path / "run", FOLDER, minutes=0.03, batch_tokens=1024, tokenizer_conversations=300
    )
    train(config)
    export_gguf(config.run_dir, tmp_path / "shop.gguf", SHOP.about)

    fields = read_gguf(tmp_path / "shop.gguf").fields
    assert fields[UNSURE_KEY] == UNSURE
    assert fields["general.name"] == "shop-assistant"
    with pytest.raises(ValueError, match="holds a run of 'shop-assistant'"):
        train(TrainConfig(tmp_path / "run", write_domain(tmp_path / "kiosk"), minutes=0.1))


def test_a_run_begins_with_the_weights_of_another(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch", reason="training needs torch")
    from tokenizers import Tokenizer

    from scripts.builtin.train import TrainConfig, train

    first = TrainConfig(
        tmp_path / "first", FOLDER, minutes=0.03, batch_tokens=1024, tokenizer_conversations=300
    )
    train(first)
    # No step at all: what comes out is what it began with, though its tokenizer is another.
    second = TrainConfig(
        tmp_path / "second", FOLDER, start_from=first.run_dir, minutes=0, tokenizer_conversations=99
    )
    train(second)

    before, after = (
        torch.load(one.run_dir / "checkpoint.pt", weights_only=True) for one in (first, second)
    )
    ids, moved = (
        Tokenizer.from_file(str(one.run_dir / "tokenizer.json")).get_vocab()
        for one in (first, second)
    )
    for name, weights in before["model"].items():
        if name != "embedding.weight":
            assert torch.equal(weights, after["model"][name])
    embeddings = [one["model"]["embedding.weight"] for one in (before, after)]
    assert ids != moved
    for token in ids.keys() & moved.keys():
        assert torch.equal(embeddings[0][ids[token]], embeddings[1][moved[token]])


def blocks(language: str) -> list[str]:
    """The fenced texts of the guide that are in `language`."""
    fenced = re.findall(r"^```(\w*)\n(.*?)^```$", GUIDE, re.DOTALL | re.MULTILINE)
    return [text for name, text in fenced if name == language]


def test_what_the_guide_shows_is_a_domain(tmp_path: Path) -> None:
    (pattern,) = (block for block in blocks("") if block.startswith("[command]"))
    files = {
        "intents.toml": "\n".join(blocks("toml")),
        "patterns/AddToCart.txt": pattern,
        "macros.txt": "cart = my cart\nsome = some |a \n",
        "words/products.txt": "tea\n",
    }
    (tmp_path / "patterns").mkdir()
    (tmp_path / "words").mkdir()
    for name, text in files.items():
        (tmp_path / name).write_text(text, encoding="utf-8")

    domain = load_domain(tmp_path)

    assert list(find_mistakes(domain)) == []
    assert domain.about.name == "shop-assistant"
    assert len(domain.grammar.refused) == 4


@pytest.mark.parametrize("line", re.findall(r"^python -m (scripts\.builtin .*)", GUIDE, re.M))
def test_a_command_of_the_guide_runs(line: str) -> None:
    result = subprocess.run(
        [sys.executable, "-m", *line.split()], cwd=HOME.parents[2], capture_output=True, text=True
    )

    assert result.returncode == 0, result.stderr
    assert result.stdout
