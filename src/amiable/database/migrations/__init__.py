"""Alembic's migrations; ``versions/`` in order lead to ``schema.py``."""
