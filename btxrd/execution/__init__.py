"""Plan runs, and do each in a process of its own."""
