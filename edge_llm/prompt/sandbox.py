"""The Jinja environment that chat templates run in: the field's dialect, with limits.

The only importer of jinja2. A template comes from a model file, so it is code from a stranger: it
cannot reach Python (Jinja's sandbox), change its inputs (the immutable one), or run or grow without
end (the `Budget`). Not bounded: the memory of one single operation before its result is counted,
such as `replace` with a long replacement or `indent` with a great width.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextvars import ContextVar
from datetime import datetime
from typing import Any, NoReturn

from jinja2 import nodes
from jinja2.exceptions import SecurityError, TemplateError
from jinja2.ext import Extension, loopcontrols
from jinja2.parser import Parser
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.visitor import NodeTransformer

from edge_llm.errors import ChatTemplateError

MAX_STEPS = 2_000_000
"""Loop rounds and calls in one rendering; a conversation of 1000 messages takes a few thousand."""
MAX_CHARS = 32_000_000
"""Characters written in one rendering, those of macros and of intermediate strings included."""
_MAX_EXPONENT = 64
_PRIVATE = re.compile("[\ue000-\uf8ff]")

TEMPLATE_FAILURES = (
    TemplateError,
    TypeError,
    ValueError,
    LookupError,
    AttributeError,
    ArithmeticError,
    RecursionError,
    MemoryError,
)
"""What a template can raise while it is compiled or rendered."""

_SURGERY = frozenset({"replace", "split", "rsplit", "partition", "rpartition"})
_TRIMS = frozenset({"strip", "lstrip", "rstrip", "trim", "removeprefix", "removesuffix"})
_LISTS = re.compile(r"messages|tools|tool_calls|history|turns|docs|documents|list", re.IGNORECASE)
"""Names that templates give to lists."""
_CASE_CHANGERS = frozenset({"upper", "lower", "title", "capitalize", "swapcase", "casefold"})


class Budget:
    """What one rendering may still spend."""

    def __init__(self) -> None:
        self.steps = MAX_STEPS
        self.chars = MAX_CHARS

    def spend(self, steps: int, chars: int) -> None:
        """Pay for work.

        Raises:
            ChatTemplateError: nothing is left.
        """
        self.steps -= steps
        self.chars -= chars
        if self.steps < 0 or self.chars < 0:
            raise ChatTemplateError(
                "the chat template runs or writes too long",
                hint="send fewer messages or tools; if that does not help, use another template",
            )


_budget: ContextVar[Budget | None] = ContextVar("budget", default=None)


class CompiledTemplate:
    """A template ready to run; safe to use from any thread."""

    def __init__(self, source: str) -> None:
        """Compile `source`.

        Raises:
            Exception: one of `TEMPLATE_FAILURES`, or SyntaxError.
        """
        environment = _create_environment()
        tree = environment.parse(source)
        self.facts = TemplateFacts(tree)
        self._template = environment.from_string(_AddLimits().visit(tree))

    def render(self, variables: dict[str, Any]) -> str:
        """The text that the template writes.

        Raises:
            ChatTemplateError: it called `raise_exception`, or exceeded its budget.
            Exception: one of `TEMPLATE_FAILURES`.
        """
        token = _budget.set(Budget())
        try:
            return self._template.render(variables)
        finally:
            _budget.reset(token)


class TemplateFacts:
    """What can be read off a template without running it."""

    def __init__(self, tree: nodes.Template) -> None:
        self.names = frozenset(name.name for name in tree.find_all(nodes.Name))
        """Every variable that it reads or sets."""
        calls = list(_string_calls(tree))
        constants = _constants(tree)
        self.needles = frozenset(
            text
            for name, _, args in calls
            if name in _SURGERY and args
            for text in _texts_of(args[0], constants)
            if text.strip()
        )
        """Texts that it cuts out of strings, or cuts strings at."""
        written = (const.value for const in tree.find_all(nodes.Const))
        self.texts = frozenset(
            [value for value in written if isinstance(value, str)]
            + [data.data for data in tree.find_all(nodes.TemplateData)]
        )
        """Every piece of text that it can write by itself."""
        self.unshielded = frozenset(_unshielded(tree))
        """What it may do to strings that `Shield` does not see through, for people."""
        self.changes_case = any(name in _CASE_CHANGERS for name, _, _ in calls) or any(
            isinstance(const.value, str) and const.value in _CASE_CHANGERS
            for const in tree.find_all(nodes.Const)  # as in map('upper')
        )


def _unshielded(tree: nodes.Template) -> Iterator[str]:
    """Operations that can put a string together from parts which are harmless one by one."""
    slices = [
        part.arg
        for part in tree.find_all(nodes.Getitem)
        if isinstance(part.arg, nodes.Slice) and not _is_list(part.node)
    ]
    # One end alone only trims; both ends of one string can be put together without its middle.
    if any(cut.step for cut in slices) or (
        any(cut.start for cut in slices) and any(cut.stop for cut in slices)
    ):
        yield "takes slices of strings"
    constants = _constants(tree)
    for name, operand, args in _string_calls(tree):
        texts = _texts_of(args[0], constants) if args else []
        if name == "striptags" or (name == "reverse" and not _is_list(operand)):
            yield f"uses {name!r}"
        elif name in _SURGERY and args and not texts:
            yield f"calls {name!r} with what it computes"
        elif name in _TRIMS and any(text.strip() for text in texts):
            yield f"trims {texts[0]!r}"


def _constants(tree: nodes.Template) -> dict[str, list[str]]:
    """The texts that each name is set to, where it is set to texts alone."""
    found: dict[str, list[str]] = {}
    computed: set[str] = set()
    for assign in tree.find_all(nodes.Assign):
        if not isinstance(assign.target, nodes.Name):
            continue
        if isinstance(assign.node, nodes.Const) and isinstance(assign.node.value, str):
            found.setdefault(assign.target.name, []).append(assign.node.value)
        else:
            computed.add(assign.target.name)
    return {name: texts for name, texts in found.items() if name not in computed}


def _texts_of(node: nodes.Node, constants: dict[str, list[str]]) -> list[str]:
    """What an expression can be, if it can be told: a text, or a name that stands for some."""
    if isinstance(node, nodes.Const):
        return [node.value] if isinstance(node.value, str) else []
    return constants.get(node.name, []) if isinstance(node, nodes.Name) else []


def _string_calls(
    tree: nodes.Template,
) -> Iterator[tuple[str, nodes.Node | None, list[nodes.Expr]]]:
    """Filters and methods by name, with what they are applied to and their arguments."""
    for call in tree.find_all(nodes.Call):
        if isinstance(call.node, nodes.Getattr):
            yield call.node.attr, call.node.node, call.args
    for applied in tree.find_all(nodes.Filter):
        yield applied.name, applied.node, applied.args


def _is_list(node: nodes.Node | None) -> bool:
    """Whether an expression surely is a list, as templates use them: by its name."""
    if isinstance(node, nodes.Name):
        return _LISTS.search(node.name) is not None
    if isinstance(node, nodes.Getattr):
        return _LISTS.search(node.attr) is not None
    if isinstance(node, nodes.Getitem) and isinstance(node.arg, nodes.Const):
        return isinstance(node.arg.value, str) and _LISTS.search(node.arg.value) is not None
    if isinstance(node, nodes.Getitem) and isinstance(node.arg, nodes.Slice):
        return _is_list(node.node)
    if isinstance(node, nodes.Filter):
        return node.name in ("list", "map", "select", "selectattr", "rejectattr") or (
            node.name in ("sort", "reverse", "dictsort") and _is_list(node.node)
        )
    return isinstance(node, nodes.List)


class _Environment(ImmutableSandboxedEnvironment):
    """The sandbox, counting calls and refusing arithmetic that explodes."""

    intercepted_binops = frozenset({"+", "*", "**", "%"})
    _UNBOUNDED_METHODS = frozenset(
        {"center", "ljust", "rjust", "zfill", "expandtabs", "format", "format_map"}
    )

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        if isinstance(obj, str) and attr in self._UNBOUNDED_METHODS:
            return False
        return super().is_safe_attribute(obj, attr, value)

    def call(__self, __context: Context, __obj: Any, *args: Any, **kwargs: Any) -> Any:
        _spend(1, 0)
        result = super().call(__context, __obj, *args, **kwargs)
        _spend(0, _size(result))
        return result

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        if operator == "*":
            _spend(1, _size(left) * _factor(right) + _size(right) * _factor(left))
        elif operator == "**" and not (abs(left) <= 2**16 and abs(right) <= _MAX_EXPONENT):
            raise SecurityError("a power of great numbers")
        elif operator == "%" and isinstance(left, str):
            raise SecurityError("'%' on a string")
        elif operator == "+":
            _spend(1, _size(left) + _size(right))
        return super().call_binop(context, operator, left, right)


class _AddLimits(NodeTransformer):
    """Makes every loop and every `~` pay from the budget."""

    def visit_For(self, node: nodes.For) -> nodes.Node:
        self.generic_visit(node)
        written = sum(len(data.data) for data in node.find_all(nodes.TemplateData))
        cost = nodes.Const(written, lineno=node.lineno)
        node.iter = nodes.Filter(node.iter, "_bounded", [cost], [], None, None, lineno=node.lineno)
        return node

    def visit_Concat(self, node: nodes.Concat) -> nodes.Node:
        self.generic_visit(node)
        parts = nodes.List(node.nodes, lineno=node.lineno)
        return nodes.Filter(parts, "_concat", [], [], None, None, lineno=node.lineno)


class _Generation(Extension):
    """`{% generation %}…{% endgeneration %}` marks text for training; it changes nothing here."""

    tags = {"generation"}  # noqa: RUF012

    def parse(self, parser: Parser) -> list[nodes.Node]:
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


def _create_environment() -> _Environment:
    environment = _Environment(
        trim_blocks=True,
        lstrip_blocks=True,
        extensions=[_Generation, loopcontrols],
        finalize=_count_output,
    )
    environment.filters["tojson"] = _tojson
    environment.filters["dictsort"] = _dictsort
    environment.filters["_bounded"] = _bounded
    environment.filters["_concat"] = _concat
    for name in ("center", "format"):  # their width is a number without bound
        del environment.filters[name]
    del environment.globals["lipsum"]
    environment.globals["raise_exception"] = _raise_exception
    environment.globals["strftime_now"] = _strftime_now
    return environment


def _spend(steps: int, chars: int) -> None:
    budget = _budget.get()
    if budget is not None:  # there is none while constants are folded at compile time
        budget.spend(steps, chars)


def _size(value: object) -> int:
    return len(value) if isinstance(value, str | list | tuple) else 0


def _factor(value: object) -> int:
    return max(0, value) if isinstance(value, int) else 0


def _count_output(value: Any) -> Any:
    _spend(0, _size(value))
    return value


def _bounded(iterable: Iterable[Any], chars_per_round: int) -> Iterator[Any] | Sequence[Any]:
    """`iterable`, paid for: at once where its length is known, otherwise round by round."""
    if isinstance(iterable, list | tuple | dict | str | range):
        rounds = len(iterable)
        _spend(rounds, rounds * chars_per_round)
        return iterable  # type: ignore[return-value]
    return _pay_by_round(iterable, chars_per_round)


def _pay_by_round(iterable: Iterable[Any], chars_per_round: int) -> Iterator[Any]:
    for item in iterable:
        _spend(1, chars_per_round)
        yield item


def _concat(parts: list[Any]) -> str:
    texts = [str(part) for part in parts]
    _spend(1, sum(map(len, texts)))
    return "".join(texts)


def _tojson(
    value: Any,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    """As in Hugging Face transformers: plain JSON, where Jinja's own filter would escape HTML."""
    if isinstance(indent, int) and indent > 16:
        raise SecurityError("tojson with a great indent")
    return json.dumps(
        value,
        ensure_ascii=ensure_ascii,
        indent=indent,
        separators=separators,
        sort_keys=sort_keys,
        default=_listed,
    )


def _listed(value: object) -> list[Any]:
    """What `map` and `select` give, for JSON."""
    if isinstance(value, Iterator):
        return list(value)
    raise TypeError(f"{type(value).__name__!r} is not JSON")


def _dictsort(
    value: Mapping[Any, Any],
    case_sensitive: bool = False,
    by: str = "key",
    reverse: bool = False,
) -> list[tuple[Any, Any]]:
    """As Jinja's own, but blind to private-use characters: those of the shield are some."""
    if by not in ("key", "value"):
        raise SecurityError("dictsort sorts by key or by value")

    def sort_key(pair: tuple[Any, Any]) -> Any:
        item = pair[0] if by == "key" else pair[1]
        if not isinstance(item, str):
            return item
        plain = _PRIVATE.sub("", item)
        return plain if case_sensitive else plain.lower()

    return sorted(value.items(), key=sort_key, reverse=reverse)


def _raise_exception(message: object) -> NoReturn:
    raise ChatTemplateError(f"the chat template refuses these messages: {message}")


def _strftime_now(form: str) -> str:
    return datetime.now().strftime(form)
