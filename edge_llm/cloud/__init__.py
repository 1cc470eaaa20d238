"""The only importer of `openai`: client, error mapping, breaker, deadline, pricing."""
