"""Smaller ensembles with nearly the same predictions."""
