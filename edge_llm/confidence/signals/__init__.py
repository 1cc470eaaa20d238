"""The signals, one file each."""
