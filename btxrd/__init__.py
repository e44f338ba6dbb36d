"""Experiments on bone-tumour radiographs that can be trusted."""

__version__ = "0.1.0"
