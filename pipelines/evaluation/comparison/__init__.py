"""How much better one model is than others on the same rows."""
