# SPDX-License-Identifier: LGPL-2.1-or-later
"""Runs a command in a clean root of another suite, which holds what building and `make check` need.

    within.py make SUITE                    makes the root if it is not in the cache
    within.py run SUITE LAYER COMMAND...    runs a command there, in the top directory of the tree

The tree has the path there that it has here. What is written in build/ and in the cache is written here
too; all else goes into the directory LAYER, which lies outside the tree: whoever gives it removes it.
Processes, network and environment are those of the caller, so that his signals and time limits hold.
"""
import os
import pathlib
import sys

import root

TOP = pathlib.Path(__file__).resolve().parents[2]
BUILD = TOP / "build"


def content():
    """What tests/packages.txt marks: the names, sorted as they are there."""
    words = (line.split() for line in (TOP / "tests/packages.txt").read_text().splitlines()
             if not line.startswith("#"))
    return [name for name, *marks in words if marks]


def command(suite, layer, arguments):
    """The root of the mount namespace itself becomes the new one: a test that enters a namespace of its
    own again would leave a mere chroot."""
    cache, new = root.debian.cache_directory().resolve(), layer / "root"
    for name in ("root", "system", "system.work", "tree", "tree.work"):
        (layer / name).mkdir(parents=True, exist_ok=True)
    steps = [
        f"mount -t overlay -o lowerdir={root.base(suite, content())},upperdir={layer}/system,"
        f"workdir={layer}/system.work overlay {new}",
        *(f"mount --rbind {place} {new}{place}" for place in ("/dev", "/proc", "/sys")),
        f"mount -t tmpfs tmpfs {new}/run", f"mkdir -p {new}{TOP} {new}{cache}",
        f"mount -t overlay -o lowerdir={TOP},upperdir={layer}/tree,workdir={layer}/tree.work overlay "
        f"{new}{TOP}",
        *(f"mount --bind {place} {new}{place}" for place in (BUILD, cache)),
        f"cd {new}", "pivot_root . .", "umount -l .", f"cd {TOP}", 'exec "$@"']
    return ["unshare", "--mount", "--propagation", "private", "--", "sh", "-ec", "\n".join(steps), "within",
            "env", root.PATH, "TMPDIR=/tmp", *arguments]


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["make", suite]:
            print(root.base(suite, content()))
        case ["run", suite, layer, _, *_]:
            wanted = command(suite, pathlib.Path(layer).resolve(), sys.argv[4:])
            os.execvp(wanted[0], wanted)
        case _:
            sys.exit(__doc__)
