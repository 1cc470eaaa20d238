"""`edge-llm doctor`: what this machine and this installation are, and what to do about it."""
