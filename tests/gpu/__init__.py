"""What only an NVIDIA GPU can show: `pytest -m gpu`; elsewhere each test skips with the reason."""
