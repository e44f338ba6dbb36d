"""Typed contents of the files on disk, with their readers and writers."""
