"""A run on disk: its folder, its record, and what a later command opens."""
