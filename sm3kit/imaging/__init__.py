"""Pure operations on images: numpy, OpenCV and Pillow."""
