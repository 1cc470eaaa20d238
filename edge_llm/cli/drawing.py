"""A diagram in letters: braille dots, eight to a character, for terminals."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edge_llm.evaluate.curves import Diagram, Line

WIDTH, HEIGHT = 56, 12
"""Of the canvas, in characters."""
_DOTS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))
"""Bits of a braille character by row and column. Source: Unicode 16, U+2800."""
_STYLES = ("bold cyan", "yellow", "dim")


class Canvas:
    """Dots of several colours; the first colour in a character wins."""

    def __init__(self, width: int = WIDTH, height: int = HEIGHT) -> None:
        self.width, self.height = width, height
        self._bits = [[0] * width for _ in range(height)]
        self._styles = [[""] * width for _ in range(height)]

    def dot(self, x: float, y: float, style: str) -> None:
        """Set the dot at (x, y), both in [0, 1], y upwards; others are not there to be seen."""
        if not (0.0 <= x <= 1.0 and 0.0 <= y <= 1.0):
            return
        column = round(x * (2 * self.width - 1))
        row = round((1.0 - y) * (4 * self.height - 1))
        cell = self._bits[row // 4]
        cell[column // 2] |= _DOTS[row % 4][column % 2]
        styles = self._styles[row // 4]
        styles[column // 2] = styles[column // 2] or style

    def line(self, points: Sequence[tuple[float, float]], style: str) -> None:
        """Join points."""
        for (x0, y0), (x1, y1) in itertools.pairwise(points):
            steps = max(
                1, round(max(abs(x1 - x0) * 2 * self.width, abs(y1 - y0) * 4 * self.height))
            )
            for step in range(steps + 1):
                share = step / steps
                self.dot(x0 + share * (x1 - x0), y0 + share * (y1 - y0), style)

    def rows(self) -> Iterator[list[tuple[str, str]]]:
        """Characters with their styles, from the top."""
        for bits, styles in zip(self._bits, self._styles, strict=True):
            yield [
                (chr(0x2800 + one) if one else " ", style)
                for one, style in zip(bits, styles, strict=True)
            ]


def print_diagram(diagram: Diagram, width: int = WIDTH, height: int = HEIGHT) -> None:
    """Draw it with its axes on standard output."""
    from rich.console import Console
    from rich.text import Text

    console = Console(highlight=False)
    if not _can_say(console.encoding, "\u28ff"):
        console.print(f"{diagram.title}: this terminal has no letters to draw it with")
        return
    (left, right), (bottom, top) = _range(diagram.lines, "x"), _range(diagram.lines, "y")
    canvas = Canvas(width, height)
    for line, style in zip(diagram.lines, _STYLES, strict=False):
        canvas.line([(_part(x, left, right), _part(y, bottom, top))
                     for x, y in zip(line.x, line.y, strict=True)], style)  # fmt: skip
    console.print(Text(f"{diagram.title}  ({diagram.y_label})", style="bold"))
    for number, row in enumerate(canvas.rows()):
        edge = top if number == 0 else bottom if number == height - 1 else None
        text = Text(f"{'' if edge is None else f'{edge:.3g}':>8} \u2502")
        for letter, style in row:
            text.append(letter, style or None)
        console.print(text)
    console.print(f"{'':8} \u2514{chr(0x2500) * width}")
    ends = f"{left:.3g}{right:>{width - len(f'{left:.3g}')}.3g}"
    console.print(f"{'':10}{ends}")
    console.print(f"{'':10}{diagram.x_label:^{width}}".rstrip())
    legend = Text(" " * 10)
    for line, style in zip(diagram.lines, _STYLES, strict=False):
        legend.append(f"\u2501 {line.label}   ", style)
    console.print(legend)


def _can_say(encoding: str, letter: str) -> bool:
    try:
        letter.encode(encoding)
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def _range(lines: Sequence[Line], axis: str) -> tuple[float, float]:
    values = [value for line in lines for value in getattr(line, axis)]
    least, most = min(values), max(values)
    return (least, most) if most > least else (least - 0.5, most + 0.5)


def _part(value: float, least: float, most: float) -> float:
    return (value - least) / (most - least)
