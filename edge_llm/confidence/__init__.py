"""How sure a draft is: per-token statistics in, a score out. Pure; one signal, one file."""
