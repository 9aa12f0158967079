"""Journal of the things created in environments and not deleted yet."""
