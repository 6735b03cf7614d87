"""For all tests, before torch is loaded."""

import os

# MKL's exponentials and inverses differ in the last digit from processor to processor, but not in this mode.
os.environ.setdefault("MKL_CBWR", "COMPATIBLE")
