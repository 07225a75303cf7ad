"""One layout on disk each."""
