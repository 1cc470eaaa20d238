"""What happened, told by every room and asking none: events, recorder, ledger, metrics, log."""
