"""The hand: flags, one call, one print (stratum 6)."""
