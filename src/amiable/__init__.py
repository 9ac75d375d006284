"""Amiable: machine images you own."""

__version__ = "0.4.0"
