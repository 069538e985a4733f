"""INT8 post-training quantization: statistics once on the float graph, thresholds and placement per
scheme from them.
"""
