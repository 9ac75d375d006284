"""One function per operation: (Services, Principal, Request) -> Result (stratum 4)."""
