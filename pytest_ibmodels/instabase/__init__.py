"""Client of an Instabase environment: transport, retries, calls, errors and wire models."""
