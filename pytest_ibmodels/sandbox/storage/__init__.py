"""Storage of a tenant: drive, archives and job store."""
