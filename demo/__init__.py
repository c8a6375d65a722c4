"""Shapes World: a small trained text-to-image world, so that everything runs anywhere."""
