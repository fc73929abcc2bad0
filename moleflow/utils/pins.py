"""Pinned packages with the hash of each file, for ``pip install --require-hashes``."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

HEAD = """\
# Every package that requirements.txt brings along, with the SHA-256 of the one file that pip took: CPython 3.11,
# Linux x86_64, torch of the CPU index. Written by scripts/pin_hashes.py; documents/reliability.md says how.
"""


def pins_of(requirements: str) -> dict[str, str]:
    """Package -> version of every ``name==version`` in a requirements file, names as indexes spell them."""
    found = re.findall(r"^([\w.-]+)==([^\s\\;]+)", requirements, re.M)
    return {normalized(name): version for name, version in found}


def normalized(name: str) -> str:
    """A package's name as indexes spell it (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def hashed(packages: Sequence[Mapping[str, Any]]) -> str:
    """A requirements file with hashes.

    Args:
        packages: ``install`` of what ``pip install --dry-run --report`` writes.
    """
    lines = {normalized(package["metadata"]["name"]): _line(package) for package in packages}
    return HEAD + "".join(lines[name] for name in sorted(lines))


def _line(package: Mapping[str, Any]) -> str:
    metadata, archive = package["metadata"], package["download_info"]["archive_info"]
    digest = archive["hashes"]["sha256"]
    return f"{normalized(metadata['name'])}=={metadata['version']} --hash=sha256:{digest}\n"
