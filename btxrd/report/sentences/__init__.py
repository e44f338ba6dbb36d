"""The sentences of the report, one module for each part of it; see `findings`."""
