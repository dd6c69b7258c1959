"""How the predictions of members become one."""
