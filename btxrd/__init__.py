"""Reproducible classification experiments on bone-tumour radiographs."""

__version__ = "1.0.0"
