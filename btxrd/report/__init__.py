"""Compare the runs of a sweep, and report what can be concluded."""
