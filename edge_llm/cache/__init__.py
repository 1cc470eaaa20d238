"""Whole answers kept for the next identical, or similar enough, question."""
