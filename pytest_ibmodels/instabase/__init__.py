"""The client of an Instabase environment: transport, calls, errors, and the models of what goes over the wire."""
