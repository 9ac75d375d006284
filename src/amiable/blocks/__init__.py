"""Blocks: once this says yes, it survives the power cut (stratum 3)."""
