"""Runs the tiers over a data set and writes down what they said; goes on where it was stopped."""
