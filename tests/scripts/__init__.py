"""Tests of what is run by hand and by make."""
