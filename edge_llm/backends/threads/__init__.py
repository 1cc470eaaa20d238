"""How many threads compute: planned for a model on this machine, and fewer while others compute."""
