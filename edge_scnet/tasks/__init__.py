"""What networks are for: evaluators that judge an engine's outputs by the figure of its task."""
