"""The one HTTP front of all models."""
