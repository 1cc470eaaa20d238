"""Grammars of tool calls: what a family's spelling and the offered tools allow."""
