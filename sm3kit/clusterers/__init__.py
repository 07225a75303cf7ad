"""Clusterers: embeddings become pseudo-labels."""
