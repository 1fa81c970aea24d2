"""CuPy: arrays on a CUDA device."""
