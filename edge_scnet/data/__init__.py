"""Images become the input of a network."""
