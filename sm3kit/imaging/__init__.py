"""Pure operations on images: numpy, OpenCV, Pillow and torch."""
