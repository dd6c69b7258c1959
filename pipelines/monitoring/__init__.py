"""Monitoring: whether each live model is served, correct, fresh, and sees the data it was trained for."""
