"""Results of runs over time: where they are stored, and what they show."""
