"""Benchmarks: scratchrnn beside PyTorch, JAX, Keras and the loop a learner writes, in turns.

Steps are measured in two ways: all sides in one process (`harness.interleave`), and each side in a process of its own
(`separate`). A ratio in a table or chart is the lower of the two, the one less favourable to scratchrnn.

`make bench` runs them all; `python -m benchmarks --help` says what there is. They live in a checkout of the repository
and are not part of the installed package.
"""
