"""One durable function per job; each is safe to run twice (stratum 4)."""
