"""What every method shares: contrast, sampling, the training loop, convergence."""
