"""Maps, rank, the least-norm lift, results, errors: what every layer stands on."""
