"""The ears: the only HTTP and the only async (stratum 5)."""
