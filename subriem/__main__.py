"""`python -m subriem`."""

import sys

from subriem.cli import main

sys.exit(main())
