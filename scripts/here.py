"""Imported first by the scripts of this folder: puts the repository on the path, so that they run from anywhere."""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
