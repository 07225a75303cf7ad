"""Chest X-rays for sm3kit: frontal and lateral views, and fourteen findings."""
