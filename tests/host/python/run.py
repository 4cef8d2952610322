"""The Python package with PyTorch on the CPU; exit code 77 where PyTorch is not there."""

import sys
import unittest
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[2]

if __name__ == "__main__":
    try:
        import torch  # noqa: F401
    except ImportError as error:
        print(f"skipped: {error}; on Debian: apt-get install python3-torch")
        sys.exit(77)
    sys.path[:0] = [str(ROOT / "python"), str(ROOT / "tests"), str(HERE)]
    tests = unittest.defaultTestLoader.discover(str(HERE))
    sys.exit(not unittest.TextTestRunner(verbosity=2).run(tests).wasSuccessful())
