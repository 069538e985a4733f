"""A PyTorch module or a user's ONNX file becomes a static, folded and proven float graph."""
