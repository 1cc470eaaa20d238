"""How the families of models spell tool calls: one file each, found through `registry`."""
