"""What each night has read, kept so that any earlier table can be built again."""
