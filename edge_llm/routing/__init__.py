"""Which tier a request belongs to: pure rules over facts, without model, clock or network."""
