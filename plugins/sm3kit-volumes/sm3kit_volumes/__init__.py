"""CT, PET and MR volumes for sm3kit."""
