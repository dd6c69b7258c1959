"""The step verify: the service predicts what the model does, and what callers would see."""
