"""Self-supervised learning on paired medical images, as plugins picked on a command line."""

__version__ = "0.1.0"
