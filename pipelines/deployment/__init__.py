"""Proves a version over HTTP and makes it live, or leaves the old one."""
