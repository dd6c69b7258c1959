"""The feature plan: from a raw row to numbers."""
