"""Which models exist and what is in their files. Loads none."""
