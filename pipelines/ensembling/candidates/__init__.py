"""What an ensemble can be made of."""
