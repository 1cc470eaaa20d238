import numpy as np
import pytest
from numpy.typing import NDArray

from edge_llm.quantize.blocks import pack_pairs, quantize_blocks, quantize_rows


def matrix(rows: int = 24, columns: int = 96, seed: int = 0) -> NDArray[np.float32]:
    return np.random.default_rng(seed).standard_normal((rows, columns), np.float32)


@pytest.mark.parametrize("block_size", [16, 32, 64])
@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize("bits", [4, 8])
def test_no_weight_is_off_by_more_than_its_block_allows(
    bits: int, symmetric: bool, block_size: int
) -> None:
    weights = matrix(columns=80)  # the last block is not whole

    blocks = quantize_blocks(weights, bits, block_size, symmetric=symmetric)

    padded = np.pad(weights, ((0, 0), (0, -80 % block_size))).reshape(24, -1, block_size)
    spread = padded.max(axis=2) - np.minimum(padded.min(axis=2), 0)
    # Four symmetric bits may cut off the largest weights of a block where that helps the rest.
    allowed = spread / (2**bits - 1) * (3 if bits == 4 and symmetric else 1.01)
    off = np.abs(np.pad(blocks.values() - weights, ((0, 0), (0, -80 % block_size))))
    assert blocks.values().shape == weights.shape
    assert (off.reshape(padded.shape) <= allowed[..., None]).all()


def test_weights_that_were_in_eight_bits_once_come_out_as_they_were() -> None:
    rng = np.random.default_rng(1)
    levels = rng.integers(-127, 128, (8, 3, 32)).astype(np.float32)
    levels[:, :, 0] = 127
    scales = rng.uniform(0.001, 0.1, (8, 3, 1)).astype(np.float16).astype(np.float32)
    weights = (levels * scales).reshape(8, 96)

    again = quantize_blocks(weights, 8, 32, half_scales=True)

    np.testing.assert_array_equal(again.values(), weights)
    np.testing.assert_array_equal(again.scales, scales[..., 0])


def test_four_bits_lose_less_than_their_largest_weight_alone_would_make_them() -> None:
    weights = matrix()
    blocks = weights.reshape(24, 3, 32)
    reach = np.take_along_axis(blocks, np.abs(blocks).argmax(axis=2)[..., None], axis=2) / -8
    plain = np.clip(np.rint(blocks / reach), -8, 7) * reach

    found = quantize_blocks(weights, 4, 32).values()

    assert ((found - weights) ** 2).mean() < 0.95 * ((plain - blocks) ** 2).mean()


def test_a_block_of_zeros_stays_zero() -> None:
    weights = np.zeros((2, 32), np.float32)

    for bits in (4, 8):
        for symmetric in (True, False):
            assert not quantize_blocks(weights, bits, 32, symmetric=symmetric).values().any()
    assert not quantize_rows(weights, 127)[0].any()


def test_scales_too_small_for_half_floats_stay_in_float32() -> None:
    weights = matrix(1, 32) * np.float32(1e-8)

    blocks = quantize_blocks(weights, 8, 32, half_scales=True)

    np.testing.assert_allclose(blocks.values(), weights, atol=1e-10)


def test_pairs_are_packed_with_the_first_one_low() -> None:
    levels = np.array([[1, 2, 15, 0]], np.uint8)

    assert pack_pairs(levels).tolist() == [[0x21, 0x0F]]


def test_rows_have_one_scale_and_reach_the_largest_level() -> None:
    weights = matrix()

    levels, scales = quantize_rows(weights, 63)

    assert np.abs(levels).max(axis=1).tolist() == [63] * 24
    np.testing.assert_allclose(levels * scales[:, None], weights, atol=scales.max() / 2 * 1.01)
