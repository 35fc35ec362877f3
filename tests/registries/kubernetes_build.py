# SPDX-License-Identifier: LGPL-2.1-or-later
"""Builds the kube-apiserver that the tests run, once, from Debian's source package.

Debian packages only the clients of Kubernetes, but their source package holds the whole tree. The build
needs nothing installed: compiler and source are unpacked beside it and removed with it. The program is
kept outside the tree (debian.cache_directory()); whoever comes while another builds waits for him.

    kubernetes_build.py     builds unless that was done before; prints the path of the program
"""
import fcntl
import os
import shutil
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(__file__))
import debian  # noqa: E402

SUITE = "bookworm"
VERSION = "1.20.2"
# Part of the cache's key: another recipe is another program.
RECIPE = 1


def _place():
    return debian.cache_directory() / "kubernetes" / f"{VERSION}-{RECIPE}"


def built():
    """The program; raises debian.Unavailable when it was not built before."""
    program = _place() / "kube-apiserver"
    if not program.exists():
        raise debian.Unavailable(f"kube-apiserver is not built: run {os.path.abspath(__file__)}")
    return program


def build():
    """Returns the program, after some minutes of two cores the first time."""
    place = _place()
    place.mkdir(parents=True, exist_ok=True)
    with open(place / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        program = place / "kube-apiserver"
        if not program.exists():
            _build(place / "work", program)
    return program


def _build(work, program):
    shutil.rmtree(work, ignore_errors=True)
    # Where a build of that age looks for its own packages.
    source = work / "go/src/k8s.io/kubernetes"
    step = _Steps()
    step("fetching the source and its compiler")
    debian.fetch_source("kubernetes", SUITE, source)
    compiler = debian.fetch("golang-1.19-go", SUITE, also=["golang-1.19-src"])
    reflect = debian.fetch("golang-github-modern-go-reflect2-dev", SUITE)
    _amend(source, reflect / "usr/share/gocode/src/github.com/modern-go/reflect2")
    goroot = compiler / "usr/lib/go-1.19"
    environment = {
        "PATH": f"{goroot}/bin:/usr/bin:/bin", "HOME": str(work), "LC_ALL": "C.UTF-8",
        "GOROOT": str(goroot), "GOPATH": str(work / "go"), "GOCACHE": str(work / "cache"),
        "GO111MODULE": "off", "GOPROXY": "off", "CGO_ENABLED": "0",
    }
    step("generating code")
    _run(["make", "generated_files"], source, environment)
    step("compiling kube-apiserver")
    version = "k8s.io/component-base/version"
    major, minor, _ = VERSION.split(".")
    flags = ["-s", "-w", "-X", f"{version}.gitVersion=v{VERSION}", "-X", f"{version}.gitMajor={major}",
             "-X", f"{version}.gitMinor={minor}"]
    _run(["go", "build", "-o", work / "kube-apiserver", "-ldflags", " ".join(flags),
          "./cmd/kube-apiserver"], source, environment)
    (work / "kube-apiserver").rename(program)
    step("done")
    # The compiler makes its caches read-only.
    subprocess.run(["chmod", "-R", "u+w", work], check=True)
    shutil.rmtree(work)


def _amend(source, reflect):
    """What the tree lacks to be built here."""
    # The bundled version of this library panics on every JSON body when built with Go 1.18 or later.
    bundled = source / "vendor/github.com/modern-go/reflect2"
    for old in [*bundled.glob("*.go"), *bundled.glob("*.s")]:
        old.unlink()
    for file in [*reflect.glob("*.go"), *reflect.glob("*.s")]:
        shutil.copy(file, bundled)
    # A copy of a program just built does not need rsync.
    script = source / "hack/lib/golang.sh"
    script.write_text(script.read_text().replace("rsync -pc", "cp -p"))


class _Steps:
    """Tells on standard error what is being done, and since when."""

    def __init__(self):
        self.began = time.monotonic()

    def __call__(self, text):
        print(f"[{time.monotonic() - self.began:5.0f} s] {text}", file=sys.stderr, flush=True)


def _run(command, directory, environment):
    # Others work on this machine too.
    command = ["nice", "-n", "10", *map(str, command)]
    done = subprocess.run(command, cwd=directory, env=environment, stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          errors="replace")
    if done.returncode != 0:
        raise debian.Unavailable(f"{' '.join(command)}: {done.stdout[-4000:]}")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        sys.exit(__doc__)
    try:
        print(build())
    except (debian.Unavailable, OSError) as reason:
        sys.exit(f"kubernetes_build.py: {reason}")
