"""Write synthetic radiographs."""
