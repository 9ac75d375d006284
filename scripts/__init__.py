"""Programs for who works in this checkout: setup, demo, generated pages."""
