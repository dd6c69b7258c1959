"""The step upload: the bento goes into the store and gets its tag."""
