"""How good scores, decisions and probabilities are, on outcomes that are known."""
