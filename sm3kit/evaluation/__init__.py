"""Evaluation: what the networks of a run are worth, with labels or in matching pairs."""
