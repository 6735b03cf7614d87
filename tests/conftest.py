"""For all tests, before torch is loaded."""

import os

# MKL's exponentials and inverses differ in the last digit from processor to processor, but not in this mode. Of a time
# step near 1000 that digit is 3e-5, where the stored tables are held to 1e-6.
os.environ.setdefault("MKL_CBWR", "COMPATIBLE")
