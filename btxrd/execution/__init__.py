"""Plan runs, and execute each of them in a separate process."""
