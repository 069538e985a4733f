"""Which models there are, and how their weights are loaded."""
