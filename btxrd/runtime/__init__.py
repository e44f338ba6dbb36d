"""Files, cores, devices and signals."""
