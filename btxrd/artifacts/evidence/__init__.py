"""The parts of summary.json."""
