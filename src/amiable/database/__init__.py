"""Facts, in SQL (stratum 3, lowest)."""
