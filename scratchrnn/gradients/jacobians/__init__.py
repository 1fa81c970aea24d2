"""Products of Jacobians ∂h_t/∂h_k and their singular values."""
