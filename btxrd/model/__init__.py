"""From a backbone's name to a classifier, and to a file and back."""
