"""Square charts as SVG, embedded in a page."""
