"""People: their roles by domain, their requests to use models, what they like and what they may like."""
