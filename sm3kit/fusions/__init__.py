"""Fusions: features of several modalities meet in shared streams."""
