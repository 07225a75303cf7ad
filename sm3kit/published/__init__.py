"""The numbers that the paper printed, with what is known to be wrong in them."""
