"""Decision trees: formats, and fast ways through them."""
