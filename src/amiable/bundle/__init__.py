"""Bundles: bytes pass through once (stratum 3)."""
