"""Samplers: which studies make a batch."""
