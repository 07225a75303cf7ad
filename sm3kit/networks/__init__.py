"""Branches: backbones and fusion, and the features that they give."""
