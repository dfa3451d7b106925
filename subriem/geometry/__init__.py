"""Sub-Riemannian geometry: distributions, brackets, growth vectors, normal geodesics, and paths compared with them."""
