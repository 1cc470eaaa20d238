"""Functions that a model may call: described, checked, executed, and their results told back."""
