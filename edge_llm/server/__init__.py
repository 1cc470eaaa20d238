"""OpenAI-compatible HTTP and the Ollama API. Speaks to `runtime` only."""
