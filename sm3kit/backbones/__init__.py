"""Backbones: an image becomes a feature vector."""
