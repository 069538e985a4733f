"""INT8 post-training quantization of a float graph, from statistics of its activations."""
