"""Tables of samples: read from a CSV file, or bundled with the library."""

from subriem.zoo.data.table import Table, iris, read_features, read_table

__all__ = ["Table", "iris", "read_features", "read_table"]
