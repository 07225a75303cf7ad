"""Data sets: folders and tables become studies."""
