#!/usr/bin/env python
"""Fetch a public dataset, check it and unpack it: download_dataset.py mvtec --out DATA gives DATA/mvtec."""

import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path

import here

from moleflow.config.cli import Parser
from moleflow.data.download import download
from moleflow.data.sources import SOURCES


def main(words: Sequence[str]) -> int:
    """Fetch one dataset; a transfer that was interrupted goes on where it stopped."""
    parser = Parser(prog="download_dataset.py", description=__doc__)
    parser.add_argument("dataset", choices=sorted(SOURCES), help="which one")
    parser.add_argument("--out", type=Path, required=True, help="folder for the archive and the dataset's folder")
    parser.add_argument("--url", help="another address of the archive, such as a mirror's")
    parser.add_argument("--sha256", help="checksum of the archive at that address (default: the published file's)")
    given = parser.parse_args(words)
    source = SOURCES[given.dataset]
    changed = {"url": given.url, "sha256": given.sha256}
    source = dataclasses.replace(source, **{name: value for name, value in changed.items() if value})
    print(f"{given.dataset}: {source.page}, licence {source.licence}", file=sys.stderr)
    dataset = download(given.dataset, source, given.out)
    if source.sha256 is None:
        print("no checksum is published for this archive: what arrived was not compared with anything", file=sys.stderr)
    print(f"{dataset.root}: {len(dataset.classes)} classes; `python -m moleflow data check` counts what is in them")
    return 0


if __name__ == "__main__":
    sys.exit(here.guarded(main))
