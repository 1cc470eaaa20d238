"""The main object: a conversation in, an answer with its record out.

Asynchronous inside (`async_llm`); the synchronous one (`llm`) is a thin facade over it.
"""
