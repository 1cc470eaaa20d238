"""Replay a data set through the tiers: curves, calibration fits, reports."""
