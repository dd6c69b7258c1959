"""The step health: the service answers, and how quickly."""
