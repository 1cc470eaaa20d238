"""Thresholds that keep what they promise: what is promised, how it is certified, when it cannot."""
