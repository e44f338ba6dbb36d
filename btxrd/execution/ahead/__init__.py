"""Checks and estimates before the first run: folders, models, data, splits, disk and duration."""
