"""Reports for people and for CI servers, made of the records of runs; one file per format."""
