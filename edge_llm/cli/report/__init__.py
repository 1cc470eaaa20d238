"""`edge-llm report`: figures of this machine and its models, in a file that can be sent."""
