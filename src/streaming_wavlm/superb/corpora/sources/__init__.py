"""Where speech and its labels come from."""
