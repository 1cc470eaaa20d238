"""Runs a GGUF file through llama.cpp, greedily, one prompt at a time."""

from __future__ import annotations

from pathlib import Path

from llama_cpp import GGML_TYPE_F32, Llama

from scripts.builtin.chat import END

CONTEXT_TOKENS = 1024
MAX_ANSWER_TOKENS = 320


class Runner:
    """A loaded model; the key-value cache is emptied before every prompt."""

    def __init__(
        self,
        path: Path,
        *,
        threads: int = 1,
        keep_logits: bool = False,
        float_cache: bool = False,
    ) -> None:
        # Prompts use one thread too: threads of llama.cpp that wait for each other spin, and where
        # other programs use the processor a prompt then takes a second instead of 20 ms.
        self.llama = Llama(
            str(path),
            n_ctx=CONTEXT_TOKENS,
            n_threads=threads,
            n_threads_batch=threads,
            logits_all=keep_logits,
            # llama.cpp keeps keys and values in float16 unless it is told otherwise.
            type_k=GGML_TYPE_F32 if float_cache else None,
            type_v=GGML_TYPE_F32 if float_cache else None,
            verbose=False,
        )
        self.end_id = self.tokenize(END)[0]

    def tokenize(self, text: str) -> list[int]:
        """The token ids of `text`, control tokens recognised."""
        ids: list[int] = self.llama.tokenize(text.encode(), add_bos=False, special=True)
        return ids

    def answer(self, prompt: str) -> str:
        """What the model writes after `prompt`, up to the end mark."""
        text: bytes = self.llama.detokenize(self.answer_ids(self.tokenize(prompt)), special=True)
        return text.decode(errors="replace")

    def answer_ids(self, prompt_ids: list[int]) -> list[int]:
        """The most likely token after `prompt_ids`, again and again, up to the end mark."""
        self.llama.reset()
        room = min(MAX_ANSWER_TOKENS, CONTEXT_TOKENS - len(prompt_ids))
        ids: list[int] = []
        # temp=0 makes llama.cpp take the most likely token.
        for token in self.llama.generate(prompt_ids, temp=0.0, reset=True):
            if token == self.end_id or len(ids) >= room:
                break
            ids.append(token)
        return ids
