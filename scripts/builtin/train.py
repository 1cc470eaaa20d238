"""Trains the built-in model on conversations made on the fly, for a given number of minutes.

A run keeps its state in one folder and goes on from there when started again.
"""

from __future__ import annotations

import itertools
import json
import math
import random
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from rich.console import Console
from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as RichProgress
from tokenizers import Tokenizer
from torch import Tensor

from scripts.builtin.chat import END_OF_TEXT, render_body, split_trained
from scripts.builtin.conversations import Conversation, Source
from scripts.builtin.domain import HOME, load_domain
from scripts.builtin.generator import FIRST_MIX, LAST_MIX, Generator, fingerprint
from scripts.builtin.model import ModelConfig, Transformer
from scripts.builtin.tokenizer import load_tokenizer, train_tokenizer
from scripts.builtin.words import invented_texts, name_texts

Optimizers = list[torch.optim.Optimizer]

CHUNK_CONVERSATIONS = 4096
BARE_CHUNKS = 10
"""Chunks without system turns and history: copying is learned sooner from short conversations."""
INVENTED_NAMES = 5000
"""Names that the tokenizer is told of, beside those of the lists."""
LAST_MIX_FROM = 20
"""The chunk from which on `LAST_MIX` is drawn."""
CHECKPOINT_EVERY_S = 60.0
PROGRESS_EVERY_STEPS = 50
LOSS_WINDOW_STEPS = 100


@dataclass(frozen=True, slots=True)
class TrainConfig:
    """How to train."""

    run_dir: Path
    domain: Path = HOME
    """Folder of the texts to train on."""
    start_from: Path | None = None
    """Run folder whose weights to begin with; data and mix go on where that run ended."""
    seed: int = 0
    minutes: float = 15.0
    """Wall-clock time of training, generation included."""
    batch_tokens: int = 3072
    learning_rate: float = 3e-3
    warmup_share: float = 0.03
    """Share of the time in which the learning rate rises."""
    weight_decay: float = 0.05
    threads: int = 1
    """One thread outruns two where other programs use the processor as well."""
    tokenizer_conversations: int = 20_000
    """Conversations whose texts the tokenizer is made from."""


class Encoded(NamedTuple):
    """Token ids of a conversation, and for each whether the model learns to write it."""

    ids: list[int]
    is_trained: list[bool]


class Batch(NamedTuple):
    """Inputs and targets (rows, length); a target of -100 is not learned."""

    inputs: Tensor
    targets: Tensor


@dataclass(slots=True)
class Progress:
    """How far a run has come."""

    step: int = 0
    chunk: int = 0
    elapsed_s: float = 0.0
    tokens: int = 0
    loss: float = 0.0
    """Mean loss in nats per learned token over about the last hundred steps."""


class TrainBar:
    """A progress bar in a terminal; elsewhere a line now and then."""

    def __init__(self, limit_s: float) -> None:
        self._limit_s = limit_s
        self._console = Console(stderr=True)
        self._bar = RichProgress(
            TextColumn("training"),
            BarColumn(),
            TextColumn("{task.fields[state]}"),
            TimeRemainingColumn(),
            console=self._console,
            disable=not self._console.is_terminal,
        )
        self._task = self._bar.add_task("training", total=limit_s, state="")

    def __enter__(self) -> TrainBar:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def show(self, progress: Progress) -> None:
        """Brings the display up to date."""
        rate = progress.tokens / progress.elapsed_s
        state = f"step {progress.step}  loss {progress.loss:.4f}  {rate:.0f} tok/s"
        if self._console.is_terminal:
            self._bar.update(self._task, completed=progress.elapsed_s, state=state)
        else:
            minutes = f"{progress.elapsed_s / 60:.1f}/{self._limit_s / 60:g} min"
            print(f"{state}  {minutes}", flush=True)


def train(config: TrainConfig) -> None:
    """Trains until the time is up and leaves `checkpoint.pt` and `tokenizer.json` in `run_dir`.

    Raises:
        ValueError: the texts of the domain are wrong, or `run_dir` or `start_from` holds a run
            of another.
    """
    data_sha256 = fingerprint(config.seed, domain=load_domain(config.domain))
    torch.set_num_threads(config.threads)
    torch.manual_seed(config.seed)
    config.run_dir.mkdir(parents=True, exist_ok=True)
    tokenizer = _prepare_tokenizer(config)
    model = Transformer(ModelConfig(vocab_size=tokenizer.get_vocab_size()))
    optimizers = _create_optimizers(model, config)
    progress = _resume(config, model, optimizers) or _begin(config, model, tokenizer)
    print(f"{model.num_parameters} parameters, data {data_sha256}", flush=True)
    limit_s = 60 * config.minutes
    with TrainBar(limit_s) as bar:
        while progress.elapsed_s < limit_s:
            _train_chunk(config, tokenizer, model, optimizers, progress, bar)
    _save(config, model, optimizers, progress)
    summary = {**asdict(progress), "parameters": model.num_parameters, "seed": config.seed}
    summary |= {"data_sha256": data_sha256, "learning_rate": config.learning_rate}
    if config.start_from is not None:
        summary["started_from"] = json.loads((config.start_from / "summary.json").read_text())
    (config.run_dir / "summary.json").write_text(json.dumps(summary, indent=1) + "\n")


def encode(tokenizer: Tokenizer, conversation: Conversation) -> Encoded:
    """The tokens of `conversation`, cut where learning starts and stops."""
    ids: list[int] = []
    is_trained: list[bool] = []
    for segment in split_trained(conversation.messages):
        piece = tokenizer.encode(segment.text).ids
        ids += piece
        is_trained += [segment.is_trained] * len(piece)
    return Encoded(ids, is_trained)


def make_batches(
    samples: list[Encoded], pad_id: int, batch_tokens: int, rng: random.Random
) -> Iterator[Batch]:
    """Batches of samples of like length, in random order."""
    ordered = sorted(samples, key=lambda sample: len(sample.ids))
    groups: list[list[Encoded]] = [[]]
    for sample in ordered:
        if (len(groups[-1]) + 1) * len(sample.ids) > batch_tokens and groups[-1]:
            groups.append([])
        groups[-1].append(sample)
    rng.shuffle(groups)
    for group in groups:
        yield _pad(group, pad_id)


def _train_chunk(
    config: TrainConfig,
    tokenizer: Tokenizer,
    model: Transformer,
    optimizers: Optimizers,
    progress: Progress,
    bar: TrainBar,
) -> None:
    """One chunk of conversations; each chunk has its own seed, so a run can be resumed."""
    clock = time.monotonic()
    saved_at = progress.elapsed_s
    rng = random.Random(f"{config.seed}/{progress.chunk}/order")
    samples = _draw_samples(config, tokenizer, progress.chunk, model.config.context_length)
    pad_id = tokenizer.token_to_id(END_OF_TEXT)
    for batch in make_batches(samples, pad_id, config.batch_tokens, rng):
        share = progress.elapsed_s / (60 * config.minutes)
        if share >= 1:
            return
        for group in itertools.chain.from_iterable(o.param_groups for o in optimizers):
            group["lr"] = config.learning_rate * schedule(share, config.warmup_share)
        loss = _step(model, optimizers, batch)
        now = time.monotonic()
        progress.elapsed_s += now - clock
        clock = now
        progress.step += 1
        progress.loss += (loss - progress.loss) / min(progress.step, LOSS_WINDOW_STEPS)
        progress.tokens += batch.inputs.numel()
        if progress.step % PROGRESS_EVERY_STEPS == 0:
            bar.show(progress)
        if progress.elapsed_s - saved_at > CHECKPOINT_EVERY_S:
            _save(config, model, optimizers, progress)
            saved_at = progress.elapsed_s
    progress.chunk += 1


def schedule(share: float, warmup_share: float) -> float:
    """Factor on the learning rate after `share` of the time: a rise, then half a cosine."""
    if share < warmup_share:
        return share / warmup_share
    rest = (share - warmup_share) / (1 - warmup_share)
    return 0.5 * (1 + math.cos(math.pi * min(1.0, rest)))


def _step(model: Transformer, optimizers: Optimizers, batch: Batch) -> float:
    mask = batch.targets >= 0
    # bfloat16 products: three times as fast where the processor has them, weights stay float32.
    with torch.autocast("cpu", dtype=torch.bfloat16):
        logits = model.logits(model(batch.inputs)[mask])
    loss = F.cross_entropy(logits.float(), batch.targets[mask])
    model.zero_grad(set_to_none=True)
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    for optimizer in optimizers:
        optimizer.step()
    return float(loss.detach())


def _draw_samples(
    config: TrainConfig, tokenizer: Tokenizer, chunk: int, max_length: int
) -> list[Encoded]:
    # Chunk 0 has the seed of `fingerprint`, so that the hash covers data that is trained on.
    seed = f"{config.seed}/{chunk}" if chunk else config.seed
    source = Source(bare=chunk < BARE_CHUNKS)
    mix = FIRST_MIX if chunk < LAST_MIX_FROM else LAST_MIX
    generator = Generator(seed, source, load_domain(config.domain), mix)
    conversations = itertools.islice(generator, CHUNK_CONVERSATIONS)
    samples = (encode(tokenizer, conversation) for conversation in conversations)
    return [sample for sample in samples if len(sample.ids) <= max_length]


def _pad(group: list[Encoded], pad_id: int) -> Batch:
    length = max(len(sample.ids) for sample in group)
    inputs = torch.full((len(group), length - 1), pad_id)
    targets = torch.full((len(group), length - 1), -100)
    for row, (ids, is_trained) in enumerate(group):
        inputs[row, : len(ids) - 1] = torch.tensor(ids[:-1])
        learned = [token if use else -100 for token, use in zip(ids, is_trained, strict=True)]
        targets[row, : len(ids) - 1] = torch.tensor(learned[1:])
    return Batch(inputs, targets)


def _prepare_tokenizer(config: TrainConfig) -> Tokenizer:
    path = config.run_dir / "tokenizer.json"
    if not path.exists():
        domain = load_domain(config.domain)
        generator = Generator(config.seed, domain=domain)
        conversations = itertools.islice(generator, config.tokenizer_conversations)
        texts = [render_body(m) for conversation in conversations for m in conversation.messages]
        names = [*name_texts(domain), *invented_texts(domain, INVENTED_NAMES)]
        train_tokenizer(texts, names).save(str(path))
    return load_tokenizer(path)


def _create_optimizers(model: Transformer, config: TrainConfig) -> Optimizers:
    """Muon for the matrices of the layers, AdamW for embeddings and norms.

    In one short trial the loss after 0.2 M tokens was 1.9 with Muon and 2.3 with AdamW.
    """
    matrices = [p for p in model.blocks.parameters() if p.ndim > 1]
    others = [model.embedding.weight, *(p for p in model.parameters() if p.ndim == 1)]
    return [
        torch.optim.Muon(
            matrices,
            lr=config.learning_rate,
            weight_decay=config.weight_decay,
            adjust_lr_fn="match_rms_adamw",
        ),
        torch.optim.AdamW(others, lr=config.learning_rate, betas=(0.9, 0.98), weight_decay=0.0),
    ]


def _resume(config: TrainConfig, model: Transformer, optimizers: Optimizers) -> Progress | None:
    """Continues the run in `run_dir`; None where there is none."""
    path = config.run_dir / "checkpoint.pt"
    if not path.exists():
        return None
    state = _load_checkpoint(config, path)
    model.load_state_dict(state["model"])
    for optimizer, saved in zip(optimizers, state["optimizers"], strict=True):
        optimizer.load_state_dict(saved)
    return Progress(**state["progress"])


def _begin(config: TrainConfig, model: Transformer, tokenizer: Tokenizer) -> Progress:
    """A new run, with random weights or with those of `start_from`.

    The tokenizers of the two runs may differ: a token that both have keeps its embedding.
    """
    if config.start_from is None:
        return Progress()
    state = _load_checkpoint(config, config.start_from / "checkpoint.pt")
    before = load_tokenizer(config.start_from / "tokenizer.json").get_vocab()
    weights: dict[str, Tensor] = state["model"]
    embedding = model.embedding.weight.detach().clone()
    for token, index in tokenizer.get_vocab().items():
        if token in before:
            embedding[index] = weights["embedding.weight"][before[token]]
    model.load_state_dict(weights | {"embedding.weight": embedding})
    return Progress(chunk=state["progress"]["chunk"] + 1)


def _load_checkpoint(config: TrainConfig, path: Path) -> dict[str, Any]:
    state: dict[str, Any] = torch.load(path, weights_only=True)
    # Runs of before had no domain but the home.
    name, wanted = state.get("domain", load_domain().about.name), load_domain(config.domain)
    if name != wanted.about.name:
        raise ValueError(f"{path.parent} holds a run of {name!r}: choose another folder")
    return state


def _save(
    config: TrainConfig, model: Transformer, optimizers: Optimizers, progress: Progress
) -> None:
    state = {
        "model": model.state_dict(),
        "config": asdict(model.config),
        "domain": load_domain(config.domain).about.name,
        "optimizers": [optimizer.state_dict() for optimizer in optimizers],
        "progress": asdict(progress),
    }
    path = config.run_dir / "checkpoint.pt"
    torch.save(state, path.with_suffix(".tmp"))
    path.with_suffix(".tmp").replace(path)
