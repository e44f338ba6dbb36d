"""Square charts, drawn as SVG that stands in a page."""
