"""DAEs with named equations: structure, certificate, index reduction, consistent points."""
