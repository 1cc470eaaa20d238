"""Models elsewhere, behind the OpenAI API: the one door through which a prompt may leave.

`client` asks one endpoint, `failover` several of one tier; `gate` decides what may pass. The
`openai` package is imported by `sdk` alone, on first use.
"""
