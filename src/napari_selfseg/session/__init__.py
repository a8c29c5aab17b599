"""The application without a window: a training run, its result, what is stored."""
