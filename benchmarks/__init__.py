"""Benchmarks: ratios and figures of one run on this machine, printed. Nothing here asserts on a time."""
