"""Missing modalities: what stands in for them, and what it costs when they are taken away."""
