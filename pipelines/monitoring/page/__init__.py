"""The page of a model's operation: time lines, distributions then and now, and what to do."""
