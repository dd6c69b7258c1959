"""Fitted members of an ensemble, in open formats."""
