"""The Trainer set-up that all tasks share: loop, bucketing, hardware, reporting."""
