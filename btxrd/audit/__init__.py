"""Audit a data set: its content, its errors, and what leaks between partitions of each split."""
