"""Compose a config from YAML and a command line, and check it."""
