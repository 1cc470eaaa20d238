"""Requests that cannot be served as they are."""

from __future__ import annotations

from edge_llm.errors.base import EdgeLLMError


class RequestError(EdgeLLMError):
    """The request itself cannot be served as it is."""

    code = "invalid_request"
    status_code = 400


class InvalidParameterError(RequestError, ValueError):
    """A known parameter with a value outside its range."""

    code = "invalid_parameter"


class UnsupportedParameterError(RequestError):
    """The loaded model cannot do what the parameter asks for."""

    code = "unsupported_parameter"


class ChatTemplateError(RequestError):
    """The chat template does not parse, or it refused the messages."""

    code = "chat_template"


class ContextLengthExceededError(RequestError):
    """Prompt and answer together do not fit in the context; nothing was truncated."""

    code = "context_length_exceeded"

    def __init__(self, *, prompt_tokens: int, max_tokens: int, max_model_len: int) -> None:
        super().__init__(
            f"the prompt has {prompt_tokens} tokens; with {max_tokens} for the answer that is more"
            f" than the context of {max_model_len}",
            hint="shorten the conversation, lower max_tokens, raise context_size, or pass"
            " overflow='drop_oldest'",
        )
        self.prompt_tokens = prompt_tokens
        self.max_tokens = max_tokens
        self.max_model_len = max_model_len


class GrammarError(RequestError):
    """A constraint on the answer is no grammar, or one that no text satisfies."""

    code = "invalid_grammar"


class UnsupportedSchemaError(GrammarError):
    """A strict JSON schema uses a keyword that cannot be enforced while an answer is written."""

    code = "unsupported_schema"

    def __init__(
        self, path: str, keyword: str, why: str | None = None, *, hint: str | None = None
    ) -> None:
        """`path` is the JSON pointer of the keyword, such as `#/properties/a/not`."""
        reason = f": {why}" if why else ""
        super().__init__(
            f"the schema's {keyword!r} at {path} cannot be enforced{reason}",
            hint=hint or "leave it out, or pass strict=False and check the answer afterwards",
        )
        self.path = path
        self.keyword = keyword


class GrammarTooLargeError(GrammarError):
    """A constraint is too large, or would take too long or too much memory to keep to."""

    code = "grammar_too_large"


class RefusedRequestError(RequestError):
    """The same request ended the engine's process twice; it is not tried again for a while."""

    code = "request_refused"
    status_code = 422
