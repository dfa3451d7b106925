"""Equilibria and how their manifolds lie: so far the homology of a complex of charts."""
