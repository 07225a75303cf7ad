"""Drawing of synthetic lesions and writing of data sets in known layouts."""
