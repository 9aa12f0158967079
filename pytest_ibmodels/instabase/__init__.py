"""The client of an Instabase environment: transport, one module per resource, the models of the wire."""
