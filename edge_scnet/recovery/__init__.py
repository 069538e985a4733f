"""Recovery: short distillation of a Q/DQ graph from its float graph, on calibration samples."""
