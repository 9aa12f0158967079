"""Storage of a tenant: drives, archives and the job store."""
