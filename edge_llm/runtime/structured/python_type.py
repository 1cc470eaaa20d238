"""Python types as JSON schemas, and JSON as their instances: the door to pydantic.

It takes what pydantic takes: models, dataclasses, `TypedDict`s, enums, unions, containers and
annotated constraints, nested in each other. Objects are closed: a model that may write further
properties writes them.
"""

from __future__ import annotations

import re
import types
import typing
from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any, NoReturn, NotRequired, Required

from edge_llm.errors import InvalidParameterError
from edge_llm.runtime.structured.violation import Violation, path_of, shorten

if TYPE_CHECKING:
    from pydantic import TypeAdapter

MAX_NAME_CHARS = 64
"""As long as the OpenAI API lets a schema's name be."""

DECIMAL = r"^-?[0-9]+(\.[0-9]+)?$"
"""What a decimal number may be written as; pydantic's own expression looks ahead."""


class TypeMismatchError(ValueError):
    """JSON that is no instance of the type."""

    def __init__(self, violation: Violation) -> None:
        super().__init__(violation.shown)
        self.violation = violation


class PythonType:
    """One type, ready to be written and read. Safe to use from any thread."""

    def __init__(self, hint: Any, *, name: str | None = None) -> None:
        """Understand a type; imports pydantic.

        Raises:
            InvalidParameterError: no JSON can stand for it.
        """
        from pydantic import TypeAdapter
        from pydantic.errors import PydanticSchemaGenerationError, PydanticUserError

        self.name = (name or _name_of(hint))[:MAX_NAME_CHARS]
        try:
            self._adapter: TypeAdapter[Any] = TypeAdapter(_modern(hint))
        except (PydanticSchemaGenerationError, PydanticUserError, NameError, TypeError) as exc:
            _refuse(hint, exc)

    @cached_property
    def schema(self) -> dict[str, Any]:
        """Its JSON schema.

        Raises:
            InvalidParameterError: it has none.
        """
        from pydantic.errors import PydanticInvalidForJsonSchema, PydanticUserError

        try:
            schema = self._adapter.json_schema()
        except (PydanticInvalidForJsonSchema, PydanticUserError) as exc:
            _refuse(self.name, exc)
        found: dict[str, Any] = _closed(schema)
        return found

    def read(self, text: str) -> Any:
        """The instance that a JSON text stands for.

        Raises:
            TypeMismatchError: it stands for none.
        """
        from pydantic import ValidationError

        try:
            return self._adapter.validate_json(text)
        except ValidationError as exc:
            error = _mismatch(exc)
        raise error

    def convert(self, value: Any) -> Any:
        """The instance that a JSON value stands for.

        Raises:
            TypeMismatchError: it stands for none.
        """
        from pydantic import ValidationError

        try:
            return self._adapter.validate_python(value)
        except ValidationError as exc:
            error = _mismatch(exc)
        raise error


def typed_arguments(
    name: str, parameters: Mapping[str, Any], required: frozenset[str]
) -> PythonType:
    """An object with these members, by their annotations, and no others."""
    members = {
        one: Required[hint] if one in required else NotRequired[hint]
        for one, hint in parameters.items()
    }
    arguments = _typed_dict(name, members)
    arguments.__pydantic_config__ = {"extra": "forbid"}
    return PythonType(arguments, name=name)


def described(hint: Any, description: str, default: Any = ...) -> Any:
    """The annotation with words for the model, unless it brings its own."""
    from pydantic import Field

    extra = {} if default is ... or not _is_plain(default) else {"default": default}
    field = Field(description=description or None, json_schema_extra=extra or None)
    return Annotated[hint, field]


def to_json(value: Any) -> str:
    """Any value as JSON: models, dataclasses, dates and the like by their content.

    What has none becomes its `str`.
    """
    import pydantic_core

    return pydantic_core.to_json(value, fallback=str, inf_nan_mode="strings").decode()


def _is_plain(value: Any) -> bool:
    return value is None or isinstance(value, bool | int | float | str)


def _mismatch(exc: Any) -> TypeMismatchError:
    first = exc.errors(include_url=False, include_input=False, include_context=False)[0]
    return TypeMismatchError(
        Violation(path_of(first["loc"]), first["type"], shorten(str(first["msg"])))
    )


def _refuse(hint: Any, exc: Exception) -> NoReturn:
    raise InvalidParameterError(
        f"{_name_of(hint)} cannot be read from JSON: {shorten(str(exc).partition(chr(10))[0])}",
        hint="use a pydantic model, a dataclass, a TypedDict, or what they are made of",
    ) from None


def _name_of(hint: Any) -> str:
    name = hint if isinstance(hint, str) else getattr(hint, "__name__", None) or repr(hint)
    return re.sub(r"[^A-Za-z0-9_-]+", "_", name).strip("_") or "answer"


def _closed(node: Any) -> Any:
    """The schema with objects that have no members but those named, and no looking ahead."""
    if isinstance(node, list):
        return [_closed(one) for one in node]
    if not isinstance(node, dict):
        return node
    closed = {name: _closed(value) for name, value in node.items()}
    if isinstance(node.get("properties"), dict) and node.get("type") == "object":
        closed.setdefault("additionalProperties", False)
    if isinstance(node.get("pattern"), str) and node["pattern"].startswith("^(?!^[-+.]*$)"):
        closed["pattern"] = DECIMAL
    return closed


def _modern(hint: Any) -> Any:
    """The type with `typing.TypedDict`s, which pydantic refuses before Python 3.12, replaced."""
    from typing_extensions import get_type_hints, is_typeddict

    if is_typeddict(hint):
        hints = get_type_hints(hint, include_extras=True)
        members = {
            name: (Required if name in hint.__required_keys__ else NotRequired)[
                _modern(_unwrapped(one))
            ]
            for name, one in hints.items()
        }
        modern = _typed_dict(hint.__name__, members)
        modern.__doc__ = hint.__doc__
        if hasattr(hint, "__pydantic_config__"):
            modern.__pydantic_config__ = hint.__pydantic_config__
        return modern
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if not arguments or origin is typing.Literal or not any(map(_has_typed_dict, arguments)):
        return hint
    changed = tuple(_modern(one) for one in arguments)
    if origin in (typing.Union, types.UnionType):
        return typing.Union[changed]  # noqa: UP007 — the members are not known here
    if origin is Annotated:
        return Annotated[(changed[0], *hint.__metadata__)]
    return hint.copy_with(changed) if hasattr(hint, "copy_with") else origin[changed]


def _typed_dict(name: str, members: Mapping[str, Any]) -> Any:
    import typing_extensions

    make: Any = typing_extensions.TypedDict
    return make(name, members)


def _has_typed_dict(hint: Any) -> bool:
    return typing.is_typeddict(hint) or any(map(_has_typed_dict, typing.get_args(hint)))


def _unwrapped(hint: Any) -> Any:
    wrapped = typing.get_origin(hint) in (Required, NotRequired)
    return typing.get_args(hint)[0] if wrapped else hint
