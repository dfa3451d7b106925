"""Equilibria: where they are, of which dimension, how stable, and how their manifolds lie."""
