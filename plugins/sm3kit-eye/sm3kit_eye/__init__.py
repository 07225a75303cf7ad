"""Fundus photographs and OCT for sm3kit."""
