"""The sandbox: an embedded environment that stores files, runs pushed training code, and serves the trained models."""
