import pytest

from edge_llm.runtime.tools.docstring import Docs, read_docstring

GOOGLE = """Switch a lamp.

    Even one that
    is broken.

    Args:
        room (str): Where it hangs.
        is_on: Whether it shall
            shine, as in: yes.

    Returns:
        Nothing: at all.
    """

NUMPY = """Switch a lamp.

    Even one that
    is broken.

    Parameters
    ----------
    room : str
        Where it hangs.
    is_on : bool, optional
        Whether it shall
        shine, as in: yes.

    Returns
    -------
    str
        Nothing: at all.
    """

SPHINX = """Switch a lamp.

    Even one that
    is broken.

    :param room: Where it hangs.
    :type room: str
    :param bool is_on: Whether it shall
        shine, as in: yes.
    :returns: Nothing: at all.
    """


@pytest.mark.parametrize("text", [GOOGLE, NUMPY, SPHINX])
def test_every_style_says_the_same(text: str) -> None:
    found = read_docstring(text)

    assert found.summary == "Switch a lamp.\n\nEven one that is broken."
    assert found.parameters == {
        "room": "Where it hangs.",
        "is_on": "Whether it shall shine, as in: yes.",
    }


@pytest.mark.parametrize("text", [None, "", "   \n  "])
def test_no_docstring_says_nothing(text: str | None) -> None:
    assert read_docstring(text) == Docs()


def test_a_colon_at_the_end_of_a_line_begins_no_section() -> None:
    found = read_docstring("Do it.\n\nThe Colours are:\n\n  red\n  blue")

    assert found.summary == "Do it.\n\nThe Colours are:\n\nred blue"
    assert found.parameters == {}


def test_several_names_of_numpy_share_their_words() -> None:
    found = read_docstring("Add.\n\nParameters\n----------\na, b : int\n    A number.")

    assert found.parameters == {"a": "A number.", "b": "A number."}
