"""Texts as numbers: shapes that can be named, and hashed n-grams. Nothing is tuned to one task."""
