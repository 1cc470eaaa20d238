"""Answers of a form: what was asked for, whether an answer is that, and the Python value of it."""
