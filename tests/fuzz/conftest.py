"""The scripts of this folder import each other by name, and so do their tests."""

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parent))
