"""A service that is broken in one way, for an attack to find."""
