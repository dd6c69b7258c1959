"""The operation pause: a model answers no caller, or does so again."""
