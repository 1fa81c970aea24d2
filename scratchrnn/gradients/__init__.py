"""What one can know about gradients: their norms, their clipping, whether they are right, and how they flow."""
