"""The byte-level BPE of the built-in model.

It splits text as Qwen2 does, so llama.cpp reads it with `tokenizer.ggml.pre = "qwen2"`. Merges
never join a space or a quote with a word that names are made of: a name has the same tokens in a
sentence, where a space precedes it, and in a call, where a quote does. That makes copying it a
plain look-up. The most frequent of the other words, such as `the`, take their space along, unless
names begin with them.
"""

from __future__ import annotations

import itertools
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

from scripts.builtin.chat import SPECIAL_TOKENS

VOCAB_SIZE = 1536
NUM_SPACED_WORDS = 192
"""Words that have a token of their own with the space in front."""
RARE_BELOW = 12
"""Words seen less often than this in the training texts count as rare."""

# Source: llama.cpp src/llama-vocab.cpp, LLAMA_VOCAB_PRE_TYPE_QWEN2.
QWEN2_PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_SPACE = "\u0120"
"""A space, as byte-level BPE writes it."""
_TRAINING_PATTERN = r"\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+|\s"


def train_tokenizer(
    texts: Sequence[str], names: Iterable[str], vocab_size: int = VOCAB_SIZE
) -> Tokenizer:
    """A tokenizer with `vocab_size` tokens, control tokens included.

    `names` are the texts whose words must have the same tokens with and without a space.
    """
    trained = Tokenizer(models.BPE())
    trained.pre_tokenizer = _split_by(_TRAINING_PATTERN)
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size - NUM_SPACED_WORDS,
        special_tokens=list(SPECIAL_TOKENS),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    plain = [_strip_special(text) for text in texts]
    trained.train_from_iterator(_thin_rare_words(plain), trainer)
    model = json.loads(trained.to_str())["model"]
    vocabulary: dict[str, int] = model["vocab"]
    merges = [(left, right) for left, right in model["merges"]]
    named = {word for name in names for word in re.findall(r"[a-z]+", name.lower())}
    begin = _first_tokens(create_tokenizer(vocabulary, merges), named)
    for word in _most_spaced(plain, set(vocabulary) - named - begin):
        # Last of all merges: a word is built as everywhere before its space is joined.
        merges.append((_SPACE, word))
        vocabulary[_SPACE + word] = len(vocabulary)
    return create_tokenizer(vocabulary, merges)


def _first_tokens(tokenizer: Tokenizer, words: Iterable[str]) -> set[str]:
    """What `words` begin with: were ` at` a token, ` attic` would begin with it, `attic` not."""
    split = (tokenizer.encode(word).tokens for word in words)
    return {tokens[0] for tokens in split if len(tokens) > 1}


def _most_spaced(texts: Iterable[str], candidates: set[str]) -> list[str]:
    """The words of `candidates` that most often follow a space."""
    found = (word for text in texts for word in re.findall(r"(?<= )[a-z]+", text))
    counts = Counter(word for word in found if word in candidates)
    return [word for word, _ in counts.most_common(NUM_SPACED_WORDS)]


def create_tokenizer(vocabulary: Mapping[str, int], merges: Iterable[tuple[str, str]]) -> Tokenizer:
    """The tokenizer with these tokens and merges, the first merge being the strongest."""
    tokenizer = Tokenizer(models.BPE(vocab=dict(vocabulary), merges=list(merges)))
    tokenizer.add_special_tokens([AddedToken(t, special=True) for t in SPECIAL_TOKENS])
    tokenizer.pre_tokenizer = _split_by(QWEN2_PATTERN)
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def load_tokenizer(path: Path) -> Tokenizer:
    """The tokenizer saved at `path` by `Tokenizer.save`."""
    return Tokenizer.from_file(str(path))


def _split_by(pattern: str) -> pre_tokenizers.PreTokenizer:
    return pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(pattern), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )


def _thin_rare_words(texts: Iterable[str]) -> Iterator[str]:
    """All frequent words as often as they occur, and a fifth of the rare ones.

    Most rare words are invented names; in full they would take the merges of real words.
    """
    counts = Counter(piece for text in texts for piece in re.findall(r"[^\W\d_]+|[\W_]+", text))
    for index, (piece, count) in enumerate(counts.items()):
        if count >= RARE_BELOW:
            yield from itertools.repeat(piece, count)
        elif index % 5 == 0:
            yield piece


def _strip_special(text: str) -> str:
    # Control tokens are whole in the text the model reads; their spelling must not earn merges.
    for token in SPECIAL_TOKENS:
        text = text.replace(token, "\n")
    return text
