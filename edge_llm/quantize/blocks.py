"""Matrices as integers with a scale for each block of 16 to 256 neighbouring inputs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

_TRIED_SHARES = (0.94, 0.88, 0.82)
"""Shares of the largest weight that 4 bits may reach to: cutting off a few outliers often leaves
the block with a smaller squared error."""

_WEIGHTS_AT_ONCE = 1 << 22
"""Weights that are worked on together: bounds the memory beside the result."""


@dataclass(frozen=True, slots=True)
class Blocks:
    """A matrix (rows, columns), its columns cut in blocks and padded to whole ones."""

    levels: NDArray[np.uint8]
    """(rows, blocks, block_size), from 0 to 2**bits - 1."""
    scales: NDArray[np.float32]
    """(rows, blocks)"""
    zero_points: NDArray[np.uint8] | None
    """(rows, blocks): the level that means 0; None where it is 2**(bits - 1) everywhere."""
    bits: int
    num_columns: int

    @property
    def packed(self) -> NDArray[np.uint8]:
        """The levels with two of 4 bits in a byte, the first one low."""
        return pack_pairs(self.levels) if self.bits == 4 else self.levels

    @property
    def packed_zero_points(self) -> NDArray[np.uint8] | None:
        """The zero points in the same way, each row filled up to whole bytes."""
        if self.zero_points is None or self.bits == 8:
            return self.zero_points
        odd = self.zero_points.shape[1] % 2
        return pack_pairs(np.pad(self.zero_points, ((0, 0), (0, odd))))

    def values(self) -> NDArray[np.float32]:
        """The matrix that is computed with: (rows, columns)."""
        middle = 1 << (self.bits - 1) if self.zero_points is None else self.zero_points[..., None]
        levels = self.levels.astype(np.float32) - np.float32(middle)
        matrix = (levels * self.scales[..., None]).reshape(len(levels), -1)
        return np.asarray(matrix[:, : self.num_columns], np.float32)


def quantize_blocks(
    matrix: NDArray[Any],
    bits: int,
    block_size: int,
    *,
    symmetric: bool = True,
    half_scales: bool = False,
) -> Blocks:
    """`matrix` (rows, columns) in `bits`, 4 or 8, a block being `block_size` columns of a row.

    `half_scales` rounds scales of symmetric 8 bits to float16 where that leaves none of them 0.
    """
    rows, columns = matrix.shape
    num_blocks = -(-columns // block_size)
    levels = np.empty((rows, num_blocks, block_size), np.uint8)
    scales = np.empty((rows, num_blocks), np.float32)
    zeros = None if symmetric else np.empty((rows, num_blocks), np.uint8)
    step = max(1, _WEIGHTS_AT_ONCE // columns)
    for start in range(0, rows, step):
        part = slice(start, start + step)
        padding = ((0, 0), (0, num_blocks * block_size - columns))
        values = np.pad(matrix[part].astype(np.float32), padding)
        blocks = values.reshape(-1, num_blocks, block_size)
        if zeros is None:
            levels[part], scales[part] = _symmetric(blocks, bits, half_scales)
        else:
            levels[part], scales[part], zeros[part] = _asymmetric(blocks, bits)
    return Blocks(levels, scales, zeros, bits, columns)


def quantize_rows(
    matrix: NDArray[Any], largest: int
) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """`matrix` (rows, columns) from -`largest` to `largest`, and a scale for each row (rows,)."""
    matrix = matrix.astype(np.float32)
    scales = _positive(np.abs(matrix).max(axis=1) / np.float32(largest))
    levels = np.clip(np.rint(matrix / scales[:, None]), -largest, largest)
    return levels.astype(np.int8), scales


def pack_pairs(levels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Neighbours on the last axis in one byte, the first one in the low half."""
    high = np.left_shift(levels[..., 1::2], np.uint8(4))
    packed: NDArray[np.uint8] = np.bitwise_or(levels[..., 0::2], high)
    return packed


def _symmetric(
    blocks: NDArray[np.float32], bits: int, half_scales: bool
) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    if bits == 8:
        # As Q8_0 of GGUF: what was in that form once comes out exactly as it was.
        scales = _positive(np.abs(blocks).max(axis=2) / np.float32(127))
        if half_scales:
            with np.errstate(over="ignore"):
                halves = scales.astype(np.float16).astype(np.float32)
            scales = halves if np.isfinite(halves).all() and halves.all() else scales
        return _levels(blocks, scales, bits), scales
    return _best_of_four_bits(blocks)


def _best_of_four_bits(
    blocks: NDArray[np.float32],
) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """The scale of each block with the smallest squared error among a few.

    The weight of largest size becomes -8, the only level without a counterpart, as in Q4_0.
    """
    index = np.abs(blocks).argmax(axis=2)[..., None]
    reach = np.take_along_axis(blocks, index, axis=2)[..., 0] / np.float32(-8)
    reach = np.where(reach == 0, np.float32(1), reach)
    # In units of the largest weight nothing can overflow.
    units = blocks / reach[..., None]
    shares = np.ones_like(reach)
    best_levels = _levels(units, shares, 4)
    best_errors = _errors(units, best_levels, shares)
    for share in _TRIED_SHARES:
        tried = np.full_like(reach, share)
        levels = _levels(units, tried, 4)
        errors = _errors(units, levels, tried)
        better = errors < best_errors
        best_errors = np.where(better, errors, best_errors)
        shares = np.where(better, tried, shares)
        best_levels = np.where(better[..., None], levels, best_levels)
    return best_levels, reach * shares


def _levels(
    blocks: NDArray[np.float32], scales: NDArray[np.float32], bits: int
) -> NDArray[np.uint8]:
    middle = 1 << (bits - 1)
    levels = np.clip(np.rint(blocks / scales[..., None]) + middle, 0, 2 * middle - 1)
    return np.asarray(levels, np.uint8)


def _errors(
    blocks: NDArray[np.float32], levels: NDArray[np.uint8], scales: NDArray[np.float32]
) -> NDArray[np.float32]:
    values = (levels.astype(np.float32) - np.float32(8)) * scales[..., None]
    errors: NDArray[np.float32] = ((values - blocks) ** 2).sum(axis=2)
    return errors


def _asymmetric(
    blocks: NDArray[np.float32], bits: int
) -> tuple[NDArray[np.uint8], NDArray[np.float32], NDArray[np.uint8]]:
    largest = 2**bits - 1
    # 0 is a level of its own, so that padding and pruned weights stay nothing.
    low = np.minimum(blocks.min(axis=2), 0)
    high = np.maximum(blocks.max(axis=2), 0)
    scales = _positive((high - low) / np.float32(largest))
    zeros = np.clip(np.rint(-low / scales), 0, largest)
    levels = np.clip(np.rint(blocks / scales[..., None]) + zeros[..., None], 0, largest)
    return levels.astype(np.uint8), scales, zeros.astype(np.uint8)


def _positive(scales: NDArray[np.float32]) -> NDArray[np.float32]:
    """A scale of 1 where a block holds nothing but zeros."""
    return np.where(scales > 0, scales, np.float32(1)).astype(np.float32)
