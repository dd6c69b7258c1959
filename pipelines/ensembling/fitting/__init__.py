"""Candidates fitted on some rows, across folds, and on all."""
