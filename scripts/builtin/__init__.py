"""Generates the data of the built-in model, trains it, exports it to GGUF and measures it."""
