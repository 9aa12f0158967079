"""Routers, one module per resource of the protocol."""
