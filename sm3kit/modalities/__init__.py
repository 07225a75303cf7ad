"""Modalities: how one kind of image is read, normalised and augmented."""
