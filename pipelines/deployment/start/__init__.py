"""The step start: the service of the version comes up beside the live one."""
