"""The table of settings: its lines, and the table with its blocks, axes and references."""
