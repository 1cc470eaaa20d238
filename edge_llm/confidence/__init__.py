"""Per-token statistics in, a calibrated number out. Pure: no model, network, clock or server."""
