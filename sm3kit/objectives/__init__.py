"""Objectives: features become named loss terms."""
