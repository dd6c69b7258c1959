"""Splitting: sealed rows aside, and the folds of the training rows fixed for everything after."""
