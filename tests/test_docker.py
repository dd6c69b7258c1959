"""The image is built from the lock and from folders that exist."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_image_installs_the_lock_hash_checked_and_copies_what_exists() -> None:
    text = (ROOT / "docker" / "Dockerfile").read_text()
    assert re.search(r"--require-hashes.* -r requirements\.lock", text)
    allowed = set(re.findall(r"^!(\S+)$", (ROOT / ".dockerignore").read_text(), re.MULTILINE))
    copied = [name for line in re.findall(r"^COPY (?!--)(.+)$", text, re.MULTILINE) for name in line.split()[:-1]]
    assert copied
    for name in copied:
        assert (ROOT / name).exists(), name
        assert name in allowed, name
    assert "USER aimass" in text
