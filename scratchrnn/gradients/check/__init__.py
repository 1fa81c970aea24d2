"""Are the gradients right? Three references beside the analytic gradient."""
