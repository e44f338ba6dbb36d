"""HTML pages: from a summary to one file that needs nothing beside it."""
