"""Drift: whether what callers send, and what is predicted, is distributed as in training."""
