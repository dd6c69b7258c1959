"""The step install: the bento is what was signed, and what it needs is here."""
