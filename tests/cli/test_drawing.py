"""Diagrams in letters."""

import pytest

from edge_llm.cli.drawing import Canvas, print_diagram
from edge_llm.evaluate.curves import Diagram, Line, thin


def test_a_dot_sets_the_bit_of_its_place() -> None:
    canvas = Canvas(1, 1)
    for x in (0.0, 1.0):
        for y in (0.0, 1.0):
            canvas.dot(x, y, "bold")

    assert [*canvas.rows()] == [[(chr(0x2800 + 0x01 + 0x08 + 0x40 + 0x80), "bold")]]


def test_what_lies_outside_is_not_drawn() -> None:
    canvas = Canvas(2, 2)
    canvas.line([(-1.0, 0.5), (-0.5, 0.5)], "bold")
    canvas.dot(float("nan"), 0.5, "bold")

    assert all(letter == " " for row in canvas.rows() for letter, _ in row)


def test_a_diagram_has_its_axes_and_its_legend(capsys: pytest.CaptureFixture[str]) -> None:
    lines = [Line("measured", [0.0, 0.5], [0.25, 0.75]), Line("random", [0.0, 0.5], [0.5, 0.5])]

    print_diagram(Diagram("d", "Title", "share", "accuracy", lines), width=20, height=4)

    shown = capsys.readouterr().out
    for word in ("Title", "share", "accuracy", "measured", "random", "0.75", "0.25", "0.5"):
        assert word in shown


def test_a_line_without_extent_is_drawn_all_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    print_diagram(Diagram("d", "T", "x", "y", [Line("one", [1.0], [1.0])]))

    assert "0.5" in capsys.readouterr().out


def test_thinning_keeps_both_ends() -> None:
    assert list(thin(3)) == [0, 1, 2]
    kept = thin(10_001, most=5)
    assert list(kept) == [0, 2500, 5000, 7500, 10_000]
