"""The command `scratchrnn flow`: gradients that vanish and explode, measured and drawn."""
