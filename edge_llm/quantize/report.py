"""What quantising did to a model: size, speed and quality, before and after."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from edge_llm.quantize.compare import Comparison
from edge_llm.quantize.options import QuantizeOptions
from edge_llm.quantize.rewrite import RewrittenMatrix


@dataclass(frozen=True, slots=True)
class QuantizeReport:
    """The result of quantising one model."""

    source: Path
    target: Path
    """The folder of the new model."""
    options: QuantizeOptions
    source_bytes: int
    """Graph and weights, without tokenizer and configuration."""
    target_bytes: int
    matrices: tuple[RewrittenMatrix, ...]
    comparison: Comparison

    def counts(self) -> dict[str, int]:
        """How many matrices were stored how: `q4` to 24, and so on."""
        return dict(Counter(matrix.treatment for matrix in self.matrices))

    def notes(self) -> list[str]:
        """What the options did not lead to expect."""
        found: dict[str, list[str]] = {}
        for matrix in self.matrices:
            if matrix.note:
                found.setdefault(matrix.note, []).append(matrix.name)
        return [f"kept {_listed(names)}: {note}" for note, names in found.items()]

    def record(self) -> dict[str, Any]:
        """Everything as plain values, for JSON."""
        options = asdict(self.options) | {
            "embedding": self.options.embedding_treatment,
            "head": self.options.head_treatment,
        }
        return {
            "source": str(self.source),
            "target": str(self.target),
            "options": options,
            "source_bytes": self.source_bytes,
            "target_bytes": self.target_bytes,
            "matrices": self.counts(),
            "notes": self.notes(),
            **asdict(self.comparison),
        }


def _listed(names: Sequence[str]) -> str:
    rest = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + rest
