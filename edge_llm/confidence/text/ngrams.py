"""Words and pieces of words as sparse counts in a fixed number of buckets, the same everywhere."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from zlib import crc32

NUM_BUCKETS = 4096
MAX_CHARS = 8192
"""Of a text: what comes later counts no more."""

_WORD = re.compile(r"\w\w+")


def word_ngrams(text: str) -> Iterator[str]:
    """Words of two letters or more in lower case, and runs of two and three of them."""
    words = _WORD.findall(text[:MAX_CHARS].lower())
    yield from words
    yield from map(" ".join, pairwise(words))
    yield from map(" ".join, zip(words, words[1:], words[2:], strict=False))


def char_ngrams(text: str) -> Iterator[str]:
    """Runs of 2 to 4 characters inside words, their edges being spaces."""
    for word, count in Counter(text[:MAX_CHARS].lower().split()).items():
        padded = f" {word} "
        for size in (2, 3, 4):
            for begin in range(len(padded) - size + 1):
                for _ in range(count):
                    yield padded[begin : begin + size]


def hashed(ngrams: Iterator[str]) -> dict[int, float]:
    """1 + log of how often each bucket was hit; CRC-32, so that all machines agree."""
    counts = Counter(crc32(one.encode("utf-8", "surrogatepass")) % NUM_BUCKETS for one in ngrams)
    return {bucket: 1.0 + math.log(count) for bucket, count in counts.items()}
