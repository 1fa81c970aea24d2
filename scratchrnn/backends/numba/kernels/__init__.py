"""The compiled kernels, one file of loops for each layer file, and the matrix product below them."""
