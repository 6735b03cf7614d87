"""`python -m unocclude` is the command `unocclude`."""

import sys

from unocclude.cli import main

sys.exit(main())
