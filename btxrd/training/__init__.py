"""Train a classifier."""
