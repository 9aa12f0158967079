"""Routers: one module for each resource of the protocol."""
