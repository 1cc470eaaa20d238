"""Programs that measure; each ends in one line of JSON."""
