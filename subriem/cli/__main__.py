"""`python -m subriem.cli`."""

import sys

from subriem.cli import main

sys.exit(main())
