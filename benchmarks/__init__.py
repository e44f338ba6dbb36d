"""Benchmarks, each relative to a reference that is measured alternately: `nox -s bench`."""
