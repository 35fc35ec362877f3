# SPDX-License-Identifier: LGPL-2.1-or-later
"""Debian packages for the tests, unpacked and never installed.

Fetches a package of any suite from the mirror that this machine's own apt sources name, with lists and
caches of its own, so that the machine's apt stays as it is. What was fetched is kept outside the tree, in
${XDG_CACHE_HOME:-$HOME/.cache}/nss-sd-tests.

    debian.py PACKAGE [SUITE]     prints the directory that holds the unpacked package
"""
import contextlib
import fcntl
import os
import pathlib
import shutil
import subprocess
import sys


class Unavailable(Exception):
    """The package cannot be had here and now."""


def cache_directory():
    base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    path = pathlib.Path(base) / "nss-sd-tests"
    path.mkdir(parents=True, exist_ok=True)
    return path


def machine_suite():
    for line in pathlib.Path("/etc/os-release").read_text().splitlines():
        if line.startswith("VERSION_CODENAME="):
            return line.partition("=")[2].strip('"')
    raise Unavailable("this is no Debian: /etc/os-release has no VERSION_CODENAME")


def machine_mirror():
    """The mirror of the distribution itself, not of its security updates or of a third party."""
    suite = machine_suite()
    targets = subprocess.run(
        ["apt-get", "indextargets", "--format", "$(REPO_URI) $(RELEASE) $(COMPONENT)",
         "Created-By: Packages"], check=True, capture_output=True, text=True).stdout
    for line in targets.splitlines():
        uri, release, component = line.split()[:3]
        if release in (suite, "stable", "testing", "unstable", "sid") and component == "main":
            return uri
    raise Unavailable(f"no apt source of this machine has {suite} main")


def _run(command, **options):
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          **options)
    if done.returncode != 0:
        raise Unavailable(f"{' '.join(map(str, command))}: {done.stderr.strip() or done.stdout}")
    return done.stdout


def _apt_options(directory, suite):
    """Options that give apt lists, caches and sources of its own below `directory`."""
    (directory / "lists" / "partial").mkdir(parents=True, exist_ok=True)
    (directory / "cache" / "archives" / "partial").mkdir(parents=True, exist_ok=True)
    (directory / "status").touch()
    sources = directory / "sources.list"
    mirror = machine_mirror()
    sources.write_text(f"deb {mirror} {suite} main\ndeb-src {mirror} {suite} main\n")
    settings = {
        "Dir::Etc::sourcelist": sources,
        "Dir::Etc::sourceparts": "/dev/null",
        "Dir::State::lists": directory / "lists",
        "Dir::State::status": directory / "status",
        "Dir::Cache": directory / "cache",
        "APT::Sandbox::User": "root",
        "APT::Get::List-Cleanup": "false",
        "Acquire::Languages": "none",
        "Acquire::Retries": "3",
    }
    return [word for key, value in settings.items() for word in ("-o", f"{key}={value}")]


def not_installed(package):
    """Which packages installing this one would bring: itself and what it needs and the machine lacks."""
    steps = _run(["apt-get", "-o", "Debug::NoLocking=true", "--simulate", "--no-install-recommends",
                  "install", package])
    return [line.split()[1] for line in steps.splitlines() if line.startswith("Inst ")]


def _place(package, suite):
    return cache_directory() / "debian" / (suite or machine_suite()) / "unpacked" / package


def unpacked(package, suite=None):
    """Returns the directory with a package that was fetched before."""
    place = _place(package, suite)
    if not place.is_dir():
        raise Unavailable(f"{package} is neither installed nor fetched")
    return place


def _download(base, suite, arguments):
    """Runs an apt-get command that downloads; returns the directory with the files."""
    options = _apt_options(base, suite)
    _run(["apt-get", *options, "update"])
    downloads = base / "downloads"
    shutil.rmtree(downloads, ignore_errors=True)
    downloads.mkdir()
    _run(["apt-get", *options, *arguments], cwd=downloads)
    return downloads


@contextlib.contextmanager
def _locked(base):
    base.mkdir(parents=True, exist_ok=True)
    with open(base / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def fetch(package, suite=None, also=()):
    """Returns the directory with the unpacked package; fetches it on first use. The packages `also`
    are unpacked into the same directory."""
    suite = suite or machine_suite()
    place = _place(package, suite)
    base = place.parents[1]
    with _locked(base):
        if place.is_dir():
            return place
        downloads = _download(base, suite, ["download", package, *also])
        partial = place.with_suffix(".partial")
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        for deb in downloads.glob("*.deb"):
            _run(["dpkg", "-x", deb, partial])
        shutil.rmtree(downloads)
        partial.rename(place)
    return place


def fetch_source(package, suite, directory):
    """Unpacks the upstream source of a package into `directory`, without Debian's own changes."""
    base = _place(package, suite).parents[1]
    with _locked(base):
        downloads = _download(base, suite, ["source", "--download-only", package])
        (archive,) = downloads.glob("*.orig.tar.*")
        directory.mkdir(parents=True)
        _run(["tar", "-x", "-f", archive, "-C", directory, "--strip-components=1"])
        shutil.rmtree(downloads)


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    try:
        print(fetch(*sys.argv[1:]))
    except Unavailable as reason:
        sys.exit(f"debian.py: {reason}")
