"""Types and tables that `make wire` writes."""
