"""What a night will take, foretold from the nights before it and from growth curves."""
