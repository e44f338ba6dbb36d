"""From a folder of films to batches on the device."""
