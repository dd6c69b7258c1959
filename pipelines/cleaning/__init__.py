"""Cleaning: learns the row recipe, applies it, and holds back what cannot be used, each row with its reason."""
