"""The machine underneath: what it is, what it can do, and what else it did meanwhile."""
