"""The language of computed columns."""
