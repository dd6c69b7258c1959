"""Alerts on their way to people: which are due, one message per model, channels."""
