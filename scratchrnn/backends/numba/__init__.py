"""Numba: compiled kernels, on several threads."""
