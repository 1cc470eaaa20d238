"""The machine underneath: its memory and the limits set on this process. Knows no model."""
