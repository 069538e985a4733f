"""One function for each thing that a user asks for, and the order of the stages."""
