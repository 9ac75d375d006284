"""Hostile input by the million: what reads foreign bytes is given mutations of good ones.  ``make fuzz``."""
