"""Splitting: separates the sealed rows and fixes the folds of the training rows."""
