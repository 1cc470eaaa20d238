import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from edge_llm.constrain.mask import TokenMask, create_scratch


def mask_of(flags: NDArray[np.bool_]) -> TokenMask:
    padded = np.zeros(-(-len(flags) // 32) * 32, np.bool_)
    padded[: len(flags)] = flags
    return TokenMask(np.packbits(padded, bitorder="little").view(np.uint32), len(flags))


@given(st.lists(st.booleans(), min_size=1, max_size=200))
def test_a_mask_is_the_set_of_its_bits(bits: list[bool]) -> None:
    flags = np.array(bits, np.bool_)
    mask = mask_of(flags)
    logits = np.arange(len(flags), dtype=np.float32)
    out, scratch = np.empty_like(logits), create_scratch(len(flags))

    mask.add_to(logits, scratch, out)

    assert mask.num_allowed == flags.sum()
    assert mask.ids.tolist() == np.flatnonzero(flags).tolist()
    assert np.array_equal(out, np.where(flags, logits, -np.inf))
    assert mask.sum_of(logits, scratch) == logits[flags].sum()


@pytest.mark.parametrize("size", [31, 32, 33, 70])
def test_bits_beyond_the_vocabulary_are_no_tokens(size: int) -> None:
    words = np.full(-(-size // 32), -1, np.int32).view(np.uint32)

    assert TokenMask(words, size).ids.tolist() == list(range(size))
