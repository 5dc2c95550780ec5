"""Board facts, as data."""
