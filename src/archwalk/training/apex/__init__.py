"""The training loop with its walks and its replay in processes on a Ray cluster."""
