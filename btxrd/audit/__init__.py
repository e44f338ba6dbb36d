"""What is in a data set, and what leaks between the partitions of each split."""
