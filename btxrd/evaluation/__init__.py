"""From a model to figures that can be defended."""
