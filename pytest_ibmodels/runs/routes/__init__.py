"""The ways in which an environment trains and serves."""
