"""The history of what each night read, so that any earlier table can be rebuilt."""
