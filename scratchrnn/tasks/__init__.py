"""Tasks a recurrent network can learn: each module yields arrays, a metric, and a training run at good settings."""
