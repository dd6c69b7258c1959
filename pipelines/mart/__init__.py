"""The data mart: tables that are published under a name, in versions, for any model of the home to read."""
