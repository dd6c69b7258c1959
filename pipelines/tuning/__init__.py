"""Columns → trials: Ray Tune and Optuna over the families, cross-validated, out-of-fold predictions kept."""
