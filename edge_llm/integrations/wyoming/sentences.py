"""A streamed answer cut into sentences, each as soon as it is known to have ended."""

from __future__ import annotations

import re

from sentence_stream import SentenceBoundaryDetector

# A runtime that lets out whole sentences shows no word of the next one, which the detector waits
# for; after these ends, and white space, no such word is needed to know.
_SURE_END = re.compile(
    r"(?:[!?…]|(?<![^\W\d_])[^\W\d_]{4,}[\"'”’)\]]*\.)[\"'”’)\]]*\s+\Z"  # noqa: RUF001
)
_ABBREVIATION = re.compile(r"\b(?:approx|assoc|dept|misc|prof|resp)\.\s+\Z", re.IGNORECASE)
_NO_SPACE_AFTER = "。！？"  # noqa: RUF001


class SpokenSentences:
    """Pieces of text in, sentences out; put together they are `text`."""

    def __init__(self) -> None:
        self._detector = SentenceBoundaryDetector()
        self._pending = ""
        self.text = ""
        """All that was given out."""

    def add(self, piece: str) -> list[str]:
        """The sentences that are known to have ended, with the space before them."""
        found = list(self._detector.add_chunk(piece))
        self._pending = self._detector.current_sentence + self._detector.remaining_text
        if _SURE_END.search(self._pending) and not _ABBREVIATION.search(self._pending):
            found.append(self._detector.finish())
        return self._spaced(found)

    def finish(self) -> list[str]:
        """What is left, once the answer has ended."""
        return self._spaced([self._detector.finish()])

    def _spaced(self, sentences: list[str]) -> list[str]:
        spaced = []
        for sentence in sentences:
            if not sentence:
                continue
            needs_space = bool(self.text) and self.text[-1] not in _NO_SPACE_AFTER
            spaced.append(f" {sentence}" if needs_space else sentence)
            self.text += spaced[-1]
        return spaced
