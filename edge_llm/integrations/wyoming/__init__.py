"""The Wyoming protocol: a conversation agent for Home Assistant's voice pipelines.

Speaks to `runtime` only. Needs the extra `voice`. `serve.serve_wyoming` is the way in.
"""
