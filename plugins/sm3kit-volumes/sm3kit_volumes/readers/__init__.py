"""One file format each, opened as a `Volume` without reading its voxels."""
