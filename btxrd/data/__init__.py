"""Read a data set: table, images and outlines; groups and splits; batches on the device."""
