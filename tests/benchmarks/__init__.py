"""Benchmarks; run with `pytest tests/benchmarks --benchmark-only -n 0`."""
