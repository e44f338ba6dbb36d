"""The parts of metrics.json."""
