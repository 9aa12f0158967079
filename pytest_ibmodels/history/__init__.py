"""Results of runs over time: a database of runs, and what can be said of their series."""
