"""Everything that knows pytest: options, collection, items, fixtures, xdist and reporting."""
