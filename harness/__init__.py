"""Finds the real ComfyUI, starts its server with this pack in it, and talks to it.

Used by `run.py`, the host tests and the benchmark. `find` and `server` need nothing but Python itself.
"""
