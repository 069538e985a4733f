"""ONNX graphs in memory, float or Q/DQ, of any origin: read, run, checked and repaired."""
