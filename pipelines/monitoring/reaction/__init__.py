"""What the monitor does about what it finds: a probe of drift, and the way back from a version below its floor."""
