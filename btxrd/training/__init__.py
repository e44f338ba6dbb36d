"""Train a classifier: loop, step, loss, schedule, averaging, outlines, compilation."""
