"""Sandbox: an environment that stores files, runs pushed training code, and serves the trained models."""
