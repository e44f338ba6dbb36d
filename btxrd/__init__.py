"""Experiments on bone-tumour radiographs that can be trusted."""

__version__ = "0.2.0.dev0"
