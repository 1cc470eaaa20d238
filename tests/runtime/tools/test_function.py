import dataclasses
import datetime
import enum
import functools
from decimal import Decimal
from typing import Annotated, Any, Literal, TypedDict

import pytest
from pydantic import BaseModel, Field

from edge_llm.errors import ToolError
from edge_llm.runtime.structured.python_type import TypeMismatchError
from edge_llm.runtime.tools.function import tool, tool_from


class Mode(enum.Enum):
    HEAT = "heat"
    COOL = "cool"


class Point(TypedDict):
    x: int
    y: int


@dataclasses.dataclass
class Span:
    start: datetime.date
    days: int = 1


class Guest(BaseModel):
    name: str = Field(min_length=1)
    age: int | None = None


def everything(
    mode: Mode,
    point: Point,
    span: Span,
    guests: list[Guest],
    level: Annotated[int, Field(ge=0, le=100)] = 50,
    unit: Literal["c", "f"] = "c",
    price: Decimal | None = None,
) -> None:
    """Take all sorts of things.

    Args:
        mode: How.
        level: How much, in percent.
    """


def test_the_schema_comes_from_hints_and_docstring() -> None:
    found = tool_from(everything)
    properties = found.parameters["properties"]

    assert (found.name, found.description) == ("everything", "Take all sorts of things.")
    assert found.parameters["required"] == ["mode", "point", "span", "guests"]
    assert found.parameters["additionalProperties"] is False
    assert properties["level"] == {
        "default": 50,
        "description": "How much, in percent.",
        "maximum": 100,
        "minimum": 0,
        "type": "integer",
    }
    assert properties["unit"]["enum"] == ["c", "f"]
    assert properties["mode"]["description"] == "How."
    assert "title" not in str(found.parameters)


def test_values_arrive_as_the_annotated_types() -> None:
    found = tool_from(everything)
    assert found.convert is not None

    values = found.convert(
        {
            "mode": "heat",
            "point": {"x": 1, "y": 2},
            "span": {"start": "2026-11-22"},
            "guests": [{"name": "Ada"}],
            "price": "1.10",
        }
    )

    assert values == {
        "mode": Mode.HEAT,
        "point": {"x": 1, "y": 2},
        "span": Span(datetime.date(2026, 11, 22), 1),
        "guests": [Guest(name="Ada")],
        "price": Decimal("1.10"),
    }


@pytest.mark.parametrize(
    ("change", "path"),
    [
        ({"mode": "boil"}, "$.mode"),
        ({"guests": [{"name": ""}]}, "$.guests[0].name"),
        ({"span": {"start": "2026-02-30"}}, "$.span.start"),
        ({"more": 1}, "$.more"),
    ],
)
def test_wrong_values_are_named_by_their_place(change: dict[str, Any], path: str) -> None:
    good = {
        "mode": "heat",
        "point": {"x": 1, "y": 2},
        "span": {"start": "2026-11-22"},
        "guests": [],
    }
    found = tool_from(everything)
    assert found.convert is not None

    with pytest.raises(TypeMismatchError) as caught:
        found.convert({**good, **change})

    assert caught.value.violation.path == path


class House:
    """A house."""

    def switch(self, room: str) -> str:
        """Switch a lamp."""
        return f"switched in the {room}"

    def __call__(self, room: str) -> str:
        """Find a room."""
        return room


def test_methods_and_wrapped_functions_are_tools() -> None:
    @functools.wraps(House.switch)
    def wrapped(*args: Any, **kwargs: Any) -> str:
        return House().switch(*args, **kwargs)

    method = tool_from(House().switch)

    assert method.parameters["required"] == ["room"]
    assert method.call({"room": "hall"}) == "switched in the hall"
    with pytest.raises(ToolError, match="'self' has no type"):
        tool_from(wrapped)


def test_a_function_without_parameters_takes_an_empty_object() -> None:
    def now() -> str:
        return "noon"

    assert tool_from(now).parameters == {
        "additionalProperties": False,
        "properties": {},
        "type": "object",
    }


def no_hint(room) -> None:  # type: ignore[no-untyped-def]  # noqa: ANN001
    """Lack a type."""


def any_number(*rooms: str) -> None:
    """Take any number."""


def any_name(**rooms: str) -> None:
    """Take any name."""


def by_place(room: str, /) -> None:
    """Take it by place."""


def unknown_type(room: "Nowhere") -> None:  # type: ignore[name-defined]  # noqa: F821
    """Name a type that is not there."""


def no_json(room: House) -> None:
    """Take what no JSON stands for."""


@pytest.mark.parametrize(
    "function",
    [no_hint, any_number, any_name, by_place, unknown_type, no_json, lambda room: None],
)
def test_what_cannot_be_a_tool_is_refused_when_it_is_offered(function: Any) -> None:
    with pytest.raises(ToolError):
        tool_from(function)


def test_marks_say_more_of_a_function_that_stays_one() -> None:
    @tool(name="lamp.on", needs_approval=True, privacy="local_only", timeout_s=2.0)
    def switch(room: str) -> str:
        """Switch a lamp."""
        return room

    found = tool_from(switch)

    assert switch("hall") == "hall"
    assert (found.name, found.needs_approval, found.privacy) == ("lamp.on", True, "local_only")
    assert found.timeout_s == 2.0


def test_marks_that_nobody_knows_are_refused() -> None:
    with pytest.raises(ToolError, match="nobody"):
        tool(nobody=True)  # type: ignore[call-overload]
    with pytest.raises(ToolError, match="privacy"):
        tool(privacy="secret")
