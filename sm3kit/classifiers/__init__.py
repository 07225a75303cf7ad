"""Classifiers: features and feature maps of all modalities become classes of every label."""
