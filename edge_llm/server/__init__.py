"""The OpenAI API over one loaded runtime: Starlette, one file per family of endpoints.

Speaks to `runtime` only. Needs the extra `server`.
"""
