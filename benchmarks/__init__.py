"""Benchmarks: scratchrnn beside PyTorch, JAX, Keras and the loop a learner writes, in one interleaved run.

`make bench` runs them all; `python -m benchmarks --help` says what there is. They live in a checkout of the repository
and are not part of the installed package.
"""
