"""Rows from SQLite, PostgreSQL and IRIS."""
