"""One kind of scan each."""
