"""Benchmarks: each prints a table, `python -m benchmarks.NAME --help` says how."""
