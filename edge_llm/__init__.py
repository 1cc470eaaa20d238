"""Small language models on this machine, good enough to trust: they know when they are not.

```python
import edge_llm

llm = edge_llm.load()
print(llm.chat("turn on the kitchen lights").text)
```
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from edge_llm.config import EdgeConfig as EdgeConfig
    from edge_llm.errors import EdgeLLMError as EdgeLLMError
    from edge_llm.integrations.mcp import MCPServer as MCPServer
    from edge_llm.runtime.async_llm import AsyncEdgeLLM as AsyncEdgeLLM
    from edge_llm.runtime.llm import EdgeLLM as EdgeLLM
    from edge_llm.runtime.llm import load as load
    from edge_llm.runtime.remote_llm import AsyncRemoteEdgeLLM as AsyncRemoteEdgeLLM
    from edge_llm.runtime.remote_llm import RemoteEdgeLLM as RemoteEdgeLLM
    from edge_llm.runtime.remote_llm import connect as connect
    from edge_llm.runtime.tools.function import tool as tool
    from edge_llm.runtime.tools.types import RunResult as RunResult
    from edge_llm.runtime.tools.types import Step as Step
    from edge_llm.runtime.tools.types import Tool as Tool
    from edge_llm.runtime.tools.types import ToolResult as ToolResult
    from edge_llm.types import Answer as Answer
    from edge_llm.types import Chunk as Chunk
    from edge_llm.types import SamplingParams as SamplingParams
    from edge_llm.types import Timings as Timings
    from edge_llm.types import TokenLogprob as TokenLogprob
    from edge_llm.types import ToolCall as ToolCall
    from edge_llm.types import Usage as Usage

__version__ = "0.1.0"

# Resolved on first use: `import edge_llm` alone must cost next to nothing.
_HOMES = {
    "Answer": "edge_llm.types",
    "AsyncEdgeLLM": "edge_llm.runtime.async_llm",
    "AsyncRemoteEdgeLLM": "edge_llm.runtime.remote_llm",
    "Chunk": "edge_llm.types",
    "EdgeConfig": "edge_llm.config",
    "EdgeLLM": "edge_llm.runtime.llm",
    "EdgeLLMError": "edge_llm.errors",
    "MCPServer": "edge_llm.integrations.mcp",
    "RemoteEdgeLLM": "edge_llm.runtime.remote_llm",
    "RunResult": "edge_llm.runtime.tools.types",
    "SamplingParams": "edge_llm.types",
    "Step": "edge_llm.runtime.tools.types",
    "Timings": "edge_llm.types",
    "TokenLogprob": "edge_llm.types",
    "Tool": "edge_llm.runtime.tools.types",
    "ToolCall": "edge_llm.types",
    "ToolResult": "edge_llm.runtime.tools.types",
    "Usage": "edge_llm.types",
    "connect": "edge_llm.runtime.remote_llm",
    "load": "edge_llm.runtime.llm",
    "tool": "edge_llm.runtime.tools.function",
}

__all__ = sorted(_HOMES)  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return [*__all__, "errors"]
