"""The experiments behind every number in the README. `python benchmarks/run.py` repeats them."""
