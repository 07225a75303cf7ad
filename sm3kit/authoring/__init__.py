"""For the authors of plugins: a distribution to start from, and a verdict on what they wrote."""
