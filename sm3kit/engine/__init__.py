"""The engine: a variant becomes objects, a run, and numbers."""
