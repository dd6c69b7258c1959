"""The operations of a feature plan, one module per family; importing this registers them all."""
