"""What steers one sequence: its grammar, and whatever else forces tokens. Not thread-safe."""

from __future__ import annotations

from collections.abc import Sequence

from edge_llm.constrain.compile import GrammarCompiler
from edge_llm.constrain.mask import TokenMask
from edge_llm.constrain.matcher import Matcher
from edge_llm.engine.request import ConstraintState, EngineRequest
from edge_llm.errors import GrammarError


class Guide:
    """A grammar and a constraint together; where they disagree the grammar wins."""

    def __init__(self, constraint: ConstraintState | None, matcher: Matcher | None) -> None:
        self._constraint = constraint
        self._matcher = matcher

    def mask(self) -> TokenMask | None:
        """The tokens that may come next; None where all may. Valid until `follow`.

        Raises:
            GrammarError: the grammar cannot be followed any further.
        """
        return None if self._matcher is None else self._matcher.allowed()

    @property
    def takes_runs(self) -> bool:
        """Whether `follow` may be told of several tokens at once."""
        return self._constraint is None

    def follow(self, token_ids: Sequence[int], text: str) -> Sequence[int]:
        """Told the next tokens with the text they completed; returns what they made necessary.

        One at a time, unless `takes_runs`.

        Raises:
            GrammarError: the grammar forbids a token, or cannot be followed any further.
        """
        if self._matcher is not None and not self._matcher.accept(*token_ids):
            raise GrammarError(f"the grammar forbids one of {token_ids}, chosen under it")
        if self._constraint is None:
            return ()
        (token_id,) = token_ids
        wanted = self._constraint.advance(token_id, text)
        if wanted and self._matcher is not None and not self._matcher.would_accept(wanted):
            return ()
        return wanted

    def forced(self) -> Sequence[int]:
        """Tokens that must come next by the grammar; `follow` is to be told of each.

        Raises:
            GrammarError: the grammar cannot be followed any further.
        """
        return () if self._matcher is None else self._matcher.forced()

    @property
    def is_complete(self) -> bool:
        """Whether the answer ends here: it fits its grammar and nothing can follow."""
        return self._matcher is not None and self._matcher.is_complete

    @property
    def fits(self) -> bool | None:
        """Whether the answer fits its grammar as it stands; None without one."""
        return None if self._matcher is None else self._matcher.fits


def create_guide(request: EngineRequest, compiler: GrammarCompiler) -> Guide:
    """The guide of an answer that begins now.

    Raises:
        GrammarError: the request's grammar cannot be used.
    """
    constraint = None if request.constraint is None else request.constraint.start()
    matcher = None if request.grammar is None else compiler.compile(request.grammar).start()
    return Guide(constraint, matcher)
