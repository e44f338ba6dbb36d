"""Synthetic radiographs (phantoms): images, tables and outlines in the layout of BTXRD."""
