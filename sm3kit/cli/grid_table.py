"""The table of a grid on a terminal."""
