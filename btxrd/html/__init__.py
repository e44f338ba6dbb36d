"""HTML pages: the report of a sweep as one self-contained file, and the pages of its runs."""
