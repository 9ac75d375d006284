"""Processes of instances: started, watched, cleaned up after (stratum 3)."""
