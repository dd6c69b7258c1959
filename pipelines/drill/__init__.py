"""The restore drill: a backup is restored, opened and served before it is needed."""
