"""Training: the loop of updates, its minibatches, its history."""
