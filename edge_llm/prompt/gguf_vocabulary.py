"""The special tokens of a GGUF file, from its header alone: what llama.cpp would make of them.

For describing a model that is not loaded, or not even here. Its loader changes the types of some
tokens by their spelling; the same is done here, and tests compare with what it does.

Source: llama.cpp 0.5.0 (commit 0c1e57098), src/llama-vocab.cpp `llama_vocab::impl::load`.
"""

from __future__ import annotations

from edge_llm.hub import gguf_architectures as known
from edge_llm.hub.gguf_file import GGUFFile
from edge_llm.hub.gguf_types import GGUFArray
from edge_llm.prompt.audit import is_control_spelling
from edge_llm.prompt.tokenizer import SpecialToken, TokenKind

_KINDS = {2: TokenKind.UNKNOWN, 3: TokenKind.CONTROL, 4: TokenKind.USER_DEFINED}
"""By `tokenizer.ggml.token_type`; all others are ordinary text."""


def _texts(text: str) -> frozenset[str]:
    return frozenset(text.split())


ENDS_TURN = _texts(
    """
    <|eot_id|> <|im_end|> <|end|> <|return|> <|call|> <|flush|> <|calls|> <end_of_turn>
    <|endoftext|> </s> <|eom_id|> <EOT> _<EOT> [EOT] [EOS] <|end_of_text|> <end_of_utterance> <eos>
    <turn|> <|tool_response> <\uff5cend▁of▁sentence\uff5c> [e~[
    """
)
"""Tokens that end a turn, and are control tokens whatever the file says."""

_FILLS_IN: dict[str, frozenset[str]] = {
    "fim_pre": _texts(
        "<|fim_prefix|> <fim-prefix> <fim_prefix> <\uff5cfim▁begin\uff5c> <PRE> ▁<PRE>"
        " <|code_prefix|> <|prefix|>"
    ),
    "fim_suf": _texts(
        "<|fim_suffix|> <fim-suffix> <fim_suffix> <\uff5cfim▁hole\uff5c> <SUF> ▁<SUF>"
        " <|code_suffix|> <|suffix|>"
    ),
    "fim_mid": _texts(
        "<|fim_middle|> <fim-middle> <fim_middle> <\uff5cfim▁end\uff5c> <MID> ▁<MID>"
        " <|code_middle|> <|middle|>"
    ),
    "fim_pad": _texts("<|fim_pad|> <fim-pad> <fim_pad> <PAD> [PAD]"),
    "fim_rep": _texts("<|fim_repo|> <|repo_name|> <fim-repo> <REPO> <reponame>"),
    "fim_sep": _texts("<|file_sep|>"),
}
"""Tokens for filling in code, by what they are for: control tokens where the file names none."""
_FILL_ENDS = ("fim_pad", "fim_rep", "fim_sep")

_ALWAYS_TEXT = _texts("<|channel|> <|message|> <|start|> <|constrain|>")
"""Harmony's structure, which llama.cpp makes user-defined so that it is seen in answers."""


class GGUFVocabulary:
    """The vocabulary of a file that `check_loadable` accepts (see `Vocabulary`)."""

    def __init__(self, file: GGUFFile) -> None:
        self._file = file
        self._tokens = _raw_tokens(file)
        self.vocab_size = len(self._tokens)
        default_bos, default_eos = _defaults(file)
        self.bos_id = self._named("bos", default_bos)
        self.eos_id = self._named("eos", default_eos)
        self.names_eos = self._named("eos") is not None
        """Whether the file says what EOS is; llama.cpp takes a fixed number where it does not."""
        self.add_bos = _adds_bos(file) and self.bos_id is not None
        special = self._special_tokens()
        self.eog_ids = self._ends(special)
        self.special_tokens = tuple(special[token_id] for token_id in sorted(special))

    def token_bytes(self, token_id: int) -> bytes:
        """The token as it is spelled in the file."""
        return self._tokens[token_id]

    def ordinary_look_alikes(self) -> list[str]:
        """Tokens that are spelled like control tokens and stored as ordinary text."""
        special = {token.id for token in self.special_tokens}
        texts = (
            self._spell(token_id)
            for token_id, raw in enumerate(self._tokens)
            if raw[:1] in (b"<", b"[") and len(raw) > 2 and token_id not in special
        )
        return [text for text in texts if is_control_spelling(text)]

    def _named(self, name: str, default: int | None = None) -> int | None:
        """The token that the file names, or else the one that its tokenizer has."""
        found = self._file.metadata.get(f"tokenizer.ggml.{name}_token_id")
        token_id = found if isinstance(found, int) and found < self.vocab_size else default
        return token_id if token_id is not None and token_id < self.vocab_size else None

    def _special_tokens(self) -> dict[int, SpecialToken]:
        special: dict[int, SpecialToken] = {}
        for token_id, number in enumerate(_types(self._file)[: self.vocab_size]):
            if kind := _KINDS.get(int(number)):
                special[token_id] = SpecialToken(token_id, self._spell(token_id), kind)
        by_text = {raw: token_id for token_id, raw in enumerate(self._tokens)}
        wanted = dict.fromkeys(ENDS_TURN, TokenKind.CONTROL)
        for name, texts in _FILLS_IN.items():
            if self._named(name) is None:
                wanted |= dict.fromkeys(texts, TokenKind.CONTROL)
        wanted |= dict.fromkeys(_ALWAYS_TEXT, TokenKind.USER_DEFINED)
        for text, kind in wanted.items():
            if (found := by_text.get(text.encode())) is not None:
                special[found] = SpecialToken(found, text, kind)
        return special

    def _ends(self, special: dict[int, SpecialToken]) -> frozenset[int]:
        """Every token that ends a turn; those that two formats exempt become text again."""
        texts = {token.text: token.id for token in special.values()}
        ends = {texts[text] for text in ENDS_TURN if text in texts}
        for name in _FILL_ENDS:
            ends |= {texts[text] for text in _FILLS_IN[name] if text in texts}
        named = (self._named(name) for name in ("eot", "eom", *_FILL_ENDS))
        ends |= {token_id for token_id in (self.eos_id, *named) if token_id is not None}
        spelled = {special[token_id].text for token_id in ends if token_id in special}
        is_harmony = {"<|return|>", "<|call|>"} <= spelled
        is_solar = "<|flush|>" in spelled and bool({"<|call|>", "<|calls|>"} & spelled)
        if "<|end|>" in spelled and (is_harmony or is_solar):
            token_id = texts["<|end|>"]
            ends.discard(token_id)
            special[token_id] = SpecialToken(token_id, "<|end|>", TokenKind.USER_DEFINED)
        if {"<|tool_response>", "</s>"} <= spelled:
            ends.discard(texts["</s>"])
            del special[texts["</s>"]]
        return frozenset(ends)

    def _spell(self, token_id: int) -> str:
        return self._tokens[token_id].decode("utf-8", "replace")


def _raw_tokens(file: GGUFFile) -> list[bytes]:
    tokens = file.metadata.get("tokenizer.ggml.tokens")
    return tokens.raw_strings() if isinstance(tokens, GGUFArray) else []


def _types(file: GGUFFile) -> list[int | float]:
    types = file.metadata.get("tokenizer.ggml.token_type")
    return types.numbers() if isinstance(types, GGUFArray) else []


def _model_and_pre(file: GGUFFile) -> tuple[str, str]:
    model = file.string("tokenizer.ggml.model") or ""
    return model, "gemma4" if model == "gemma4" else file.string("tokenizer.ggml.pre") or ""


def _defaults(file: GGUFFile) -> tuple[int | None, int | None]:
    model, pre = _model_and_pre(file)
    bos, eos = known.DEFAULT_BOS_EOS.get(model, (None, None))
    return (None if pre in known.WITHOUT_DEFAULT_BOS else bos), eos


def _adds_bos(file: GGUFFile) -> bool:
    model, pre = _model_and_pre(file)
    flag = file.metadata.get("tokenizer.ggml.add_bos_token")
    default = model == "llama" or (model in known.BPE_MODELS and pre in known.ADDS_BOS)
    return pre in known.FORCES_BOS or (flag if isinstance(flag, bool) else default)
