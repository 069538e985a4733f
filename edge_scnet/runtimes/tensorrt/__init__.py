"""TensorRT and TensorRT-RTX behind the protocol of a runtime."""
