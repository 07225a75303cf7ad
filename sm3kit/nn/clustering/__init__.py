"""Partitions of embeddings, and what they have to do with each other."""
