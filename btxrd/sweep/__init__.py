"""The runs of a sweep, met through their files on disk."""
