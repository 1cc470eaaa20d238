"""KV state of earlier sequences, found again by the tokens it stands for: a radix tree.

Each node is a run of tokens whose KV cells exist once, however many sequences go on below it. An
*entry* is a finished sequence that was kept: it holds a backend sequence id, and with it the cells
of all nodes from the root down to its own. State that cannot be rolled back is shared only where an
entry ends; two that merely begin alike both have cells for their common tokens, so there the cells
belong to entries and not to runs. Knows token ids and cell counts, no backend: the scheduler has
done what is said here.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple


@dataclass(eq=False, slots=True)
class Node:
    """A run of tokens below its parent."""

    tokens: tuple[int, ...]
    end: int
    """Tokens from the root to the end of this node."""
    parent: Node | None
    num_cells: int = 0
    """KV cells that are free again when the node goes."""
    children: dict[int, Node] = field(default_factory=dict)
    """By first token."""
    seq_id: int | None = None
    """The backend's id of the entry that ends here."""
    num_users: int = 0
    """Running sequences that share the cells up to here."""
    pinned: bool = False
    last_used: int = 0
    """Reading of the cache's own clock, which counts uses."""

    @property
    def is_needed(self) -> bool:
        """Whether it has to stay even without an entry below it."""
        return self.pinned or self.num_users > 0


class PrefixMatch(NamedTuple):
    """What of a prompt is there already."""

    node: Node
    """Ends where the prefix ends; locked for the one who asked."""
    num_tokens: int


class Eviction(NamedTuple):
    """What an entry has to give back."""

    seq_id: int
    keep: int
    """Tokens it still has to hold for others; 0 frees it, and its id, altogether."""
    tokens: tuple[int, ...] = ()
    """All the tokens whose state it holds until then, where no other entry holds them too."""


class PrefixCache:
    """Owns the entries and says which one has to go."""

    def __init__(self, *, can_truncate: bool) -> None:
        self._can_truncate = can_truncate
        self._root = Node((), 0, None)
        self._clock = 0
        self.num_cells = 0
        """KV cells that entries hold."""

    def match_prefix(self, token_ids: Sequence[int]) -> PrefixMatch | None:
        """The longest usable prefix of `token_ids`, never all of them; locked until `release`.

        One token is left over at least, because KV state holds no logits. State that cannot be
        rolled back is of use only where an entry ends.
        """
        node, length = self._descend(token_ids, len(token_ids) - 1)
        if not self._can_truncate:
            node = _deepest_entry(node, length)
            length = node.end
        if length == 0:
            return None
        node = self._node_ending_at(node, length)
        self._touch(node)
        node.num_users += 1
        return PrefixMatch(node, length)

    def holder(self, node: Node) -> int:
        """The backend id of an entry that holds the cells of `node`, until the next `evict`."""
        return next(entry.seq_id for entry in _walk(node) if entry.seq_id is not None)

    def release(self, node: Node) -> None:
        """Undo the lock of a match; its sequence shares the cells no more, or was inserted."""
        assert node.num_users > 0, "locked by a match"
        node.num_users -= 1

    def take(self, match: PrefixMatch) -> int | None:
        """Give away the entry that a match ends with, and its lock; None where it has to stay."""
        node = match.node
        if node.seq_id is None or node.children or node.pinned or node.num_users > 1:
            return None
        seq_id, node.seq_id = node.seq_id, None
        node.num_users = 0
        while node is not self._root and not node.children and _is_useless(node):
            self._drop(node)
            node = _parent(node)
        return seq_id

    def insert_prefix(
        self, token_ids: Sequence[int], seq_id: int, *, num_shared: int, pinned: bool = False
    ) -> bool:
        """Keep a sequence that holds `token_ids`, the first `num_shared` of them in shared cells.

        False where another was quicker: what it is good for is here already. The caller should free
        it; the next one that begins alike will share from the start.
        """
        node, length = self._descend(token_ids, len(token_ids))
        node = self._node_ending_at(node, length)
        self._touch(node)
        if self._is_superfluous(node, length, len(token_ids), num_shared):
            node.pinned |= pinned and length == len(token_ids)
            return False
        if length < len(token_ids):
            node = self._add_child(node, tuple(token_ids[length:]))
        node.seq_id, node.pinned = seq_id, pinned
        node.num_cells += len(token_ids) - num_shared
        self.num_cells += len(token_ids) - num_shared
        self._touch(node)
        return True

    def unpin(self) -> bool:
        """Let every pinned prefix be evicted; whether there was one."""
        pinned = [node for node in _walk(self._root) if node.pinned]
        for node in pinned:
            node.pinned = False
        return bool(pinned)

    def evict(self) -> Eviction | None:
        """Give up the entry used longest ago, as far as nobody needs it; None when all are needed.

        Recency alone decides: what an entry costs to compute again grows as its cells do.
        """
        leaves = (node for node in _walk(self._root) if not node.children and not node.is_needed)
        node = min(leaves, key=lambda leaf: leaf.last_used, default=self._root)
        if node is self._root:
            return None
        seq_id = node.seq_id
        assert seq_id is not None, "a leaf is an entry"
        tokens = _path(node)
        self._drop(node)
        while (node := _parent(node)) is not self._root and _is_useless(node):
            self._drop(node)
        if node is self._root or node.children or node.seq_id is not None:
            return Eviction(seq_id, 0, tokens)
        # Nobody else holds these cells: the entry stays, cut down to them.
        node.seq_id = seq_id
        return Eviction(seq_id, node.end, tokens)

    def evict_inner(self) -> Eviction | None:
        """Give up an entry that others go on from: frees its id, not its cells."""
        inner = [
            node
            for node in _walk(self._root)
            if node.children
            and node.seq_id is not None
            # Cells can be shared from any entry below, but state that cannot be cut only from here.
            and (self._can_truncate or not node.is_needed)
        ]
        if not inner:
            return None
        node = min(inner, key=lambda n: n.last_used)
        seq_id, node.seq_id = node.seq_id, None
        assert seq_id is not None, "only entries are chosen"
        return Eviction(seq_id, 0, () if self._can_truncate else _path(node))

    @property
    def seq_ids(self) -> list[int]:
        """Backend ids that entries hold."""
        return [node.seq_id for node in _walk(self._root) if node.seq_id is not None]

    def check_integrity(self) -> None:
        """Assert that counts and links agree; tests call it."""
        nodes = [node for node in _walk(self._root) if node is not self._root]
        assert self.num_cells == sum(node.num_cells for node in nodes)
        assert len(set(self.seq_ids)) == len(self.seq_ids)
        for node in nodes:
            assert node.parent is not None
            assert node.parent.children[node.tokens[0]] is node
            assert node.end == node.parent.end + len(node.tokens)
            assert node.tokens
            assert node.children or node.seq_id is not None
            assert node.num_cells == len(node.tokens) or not self._can_truncate
            assert node.seq_id is not None or not node.is_needed or self._can_truncate

    def _is_superfluous(self, node: Node, common: int, length: int, num_shared: int) -> bool:
        """Whether a sequence adds nothing, of which the cache has the first `common` tokens."""
        if self._can_truncate:
            return common > num_shared or common == length
        return common == length and node.seq_id is not None

    def _descend(self, token_ids: Sequence[int], limit: int) -> tuple[Node, int]:
        """The deepest node that the first `limit` tokens reach into, and how many agree."""
        node, length = self._root, 0
        while length < limit:
            child = node.children.get(token_ids[length])
            if child is None:
                break
            common = _num_common(child.tokens, token_ids[length : min(limit, child.end)])
            node, length = child, length + common
            if length < child.end:
                break
        return node, length

    def _node_ending_at(self, node: Node, end: int) -> Node:
        """`node`, or where it goes on beyond `end` its upper part, split off."""
        if node.end == end:
            return node
        parent = node.parent
        assert parent is not None, "the root ends where nothing can begin"
        assert parent.end < end < node.end, "end lies within the node"
        cut = end - parent.end
        # State that cannot be rolled back stays whole, with the entry below.
        num_cells = cut if self._can_truncate else 0
        upper = Node(node.tokens[:cut], end, parent, num_cells, last_used=node.last_used)
        node.num_cells -= num_cells
        parent.children[upper.tokens[0]] = upper
        node.tokens, node.parent = node.tokens[cut:], upper
        upper.children[node.tokens[0]] = node
        return upper

    def _add_child(self, parent: Node, tokens: tuple[int, ...]) -> Node:
        child = Node(tokens, parent.end + len(tokens), parent)
        parent.children[tokens[0]] = child
        return child

    def _drop(self, node: Node) -> None:
        del _parent(node).children[node.tokens[0]]
        self.num_cells -= node.num_cells

    def _touch(self, node: Node | None) -> None:
        self._clock += 1
        while node is not None:
            node.last_used = self._clock
            node = node.parent


def _parent(node: Node) -> Node:
    assert node.parent is not None, "not the root"
    return node.parent


def _path(node: Node) -> tuple[int, ...]:
    """All tokens from the root to the end of `node`."""
    parts = []
    while node.parent is not None:
        parts.append(node.tokens)
        node = node.parent
    return tuple(token for part in reversed(parts) for token in part)


def _is_useless(node: Node) -> bool:
    return not node.children and node.seq_id is None and not node.is_needed


def _deepest_entry(node: Node, length: int) -> Node:
    """The last entry on the way to `node` that ends within `length` tokens, or the root."""
    while node.parent is not None and (node.seq_id is None or node.end > length):
        node = node.parent
    return node


def _walk(node: Node) -> Iterator[Node]:
    """A node and all below it, without recursion: conversations grow deep."""
    stack = [node]
    while stack:
        node = stack.pop()
        yield node
        stack.extend(node.children.values())


def _num_common(left: Sequence[int], right: Sequence[int]) -> int:
    """How many tokens agree from the start."""
    if tuple(left[: len(right)]) == tuple(right):
        return len(right)
    return next(i for i, (a, b) in enumerate(zip(left, right, strict=False)) if a != b)
