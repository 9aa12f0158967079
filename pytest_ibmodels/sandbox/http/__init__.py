"""HTTP side of the sandbox: application, authentication, routers and server."""
