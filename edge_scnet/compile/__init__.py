"""A Q/DQ graph becomes an engine or a bundle, with the proof that it is what was asked for."""
