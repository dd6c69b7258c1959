"""Promoted or kept."""
