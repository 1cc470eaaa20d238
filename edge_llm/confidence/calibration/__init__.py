"""From features to probabilities: combination and mapping, fitted on outcomes, bound to a model."""
