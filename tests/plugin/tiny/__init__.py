"""A training package of the tests' own: it learns nothing, but keeps every promise of the protocol, in no time."""
