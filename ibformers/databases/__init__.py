"""Rows of SQLite, PostgreSQL and IRIS databases."""
