# SPDX-License-Identifier: LGPL-2.1-or-later
"""Real xDS control planes for the tests: go-control-plane in a program of ours (xds/plane), and one on
another gRPC stack, grpc-js (xds/other). Istio's own is in istio.py.

Builds, starts, stops and talks to them. What is built is kept outside the tree, in
${XDG_CACHE_HOME:-$HOME/.cache}/nss-sd-tests. They are controlled over a Unix socket or a pipe, so a server
may live in a network namespace. Never touches a server that it did not start.

    xds.py fetch     builds what was not built before; prints where it is
"""
import fcntl
import hashlib
import http.client
import json
import os
import pathlib
import re
import shutil
import socket
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(__file__))
import debian  # noqa: E402

SOURCES = pathlib.Path(__file__).parent / "xds"
# What the modules need; Debian 12's own is too old.
GO_VERSION = (1, 23)
DEBIAN_GO = (1, 24)


# Building

def _place(name):
    digest = hashlib.sha256()
    for path in sorted(p for p in (SOURCES / name).iterdir() if p.is_file()):
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return debian.cache_directory() / "xds" / f"{name}-{digest.hexdigest()[:16]}"


def built(name, result, build):
    """The path of `result`, which build(directory) makes on first use."""
    place = _place(name)
    done = place / result
    if not done.exists():
        place.parent.mkdir(parents=True, exist_ok=True)
        with open(f"{place}.lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not done.exists():
                began = time.monotonic()
                partial = place.with_suffix(".partial")
                shutil.rmtree(partial, ignore_errors=True)
                shutil.copytree(SOURCES / name, partial, ignore=shutil.ignore_patterns("node_modules"))
                build(partial)
                partial.rename(place)
                print(f"built the control plane '{name}' in {time.monotonic() - began:.0f} s",
                      file=sys.stderr, flush=True)
    return done


def run_build(command, directory, **environment):
    done = subprocess.run(list(map(str, command)), cwd=directory, stdin=subprocess.DEVNULL,
                          env={**os.environ, **environment}, text=True, errors="replace",
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if done.returncode != 0:
        raise debian.Unavailable(f"{' '.join(map(str, command))}: {done.stdout[-3000:]}")
    return done.stdout


def go(minimum):
    """A Go that is new enough: the machine's, or one of Debian's that is not installed."""
    own = shutil.which("go")
    if own:
        version = re.search(r"go(\d+)\.(\d+)", run_build([own, "version"], "/", GOTOOLCHAIN="local"))
        if version and tuple(map(int, version.groups())) >= minimum:
            return own
    if minimum > DEBIAN_GO:
        raise debian.Unavailable("there is no Go {}.{} or later here".format(*minimum))
    version = "{}.{}".format(*DEBIAN_GO)
    root = debian.fetch(f"golang-{version}-go", "trixie", also=[f"golang-{version}-src"])
    return root / f"usr/lib/go-{version}/bin/go"


def build_go(directory, program, package=".", *flags, minimum=GO_VERSION):
    tool = go(minimum)
    run_build([tool, "build", "-trimpath", "-ldflags", "-s -w", *flags, "-o", program, package],
              directory, GOTOOLCHAIN="local", GOFLAGS="-mod=readonly -buildvcs=false",
              CGO_ENABLED="0")


def plane_program():
    return built("plane", "xds-plane", lambda directory: build_go(directory, "xds-plane"))


def other_program():
    if not shutil.which("npm"):
        raise debian.Unavailable("npm is not installed")
    return built("other", "other.js", lambda directory: run_build(
        ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"], directory))


# What is served, in the JSON of protobuf

def endpoint(address, *, port=8080, health=None, weight=None, also=()):
    """One endpoint; `also`: further addresses of the same host."""
    def place(text):
        return {"socket_address": {"address": text, "port_value": port}}
    return {"endpoint": {"address": place(address),
                         **({"additional_addresses": [{"address": place(text)} for text in also]}
                            if also else {})},
            **({"health_status": health} if health else {}),
            **({"load_balancing_weight": weight} if weight else {})}


def locality(*endpoints, zone="z1", region=None, priority=0, weight=None):
    """Endpoints, or their addresses, of one place."""
    return {"locality": {**({"region": region} if region else {}), "zone": zone},
            **({"priority": priority} if priority else {}),
            **({"load_balancing_weight": weight} if weight else {}),
            "lb_endpoints": [endpoint(one) if isinstance(one, str) else one for one in endpoints]}


def assignment(name, *places, stale_after=None):
    """A ClusterLoadAssignment; addresses by themselves are one locality."""
    if places and all(isinstance(place, str) for place in places):
        places = [locality(*places)]
    return {"cluster_name": name, "endpoints": list(places),
            **({"policy": {"endpoint_stale_after": stale_after}} if stale_after else {})}


def cluster(name, service=None):
    """A cluster whose endpoints come by EDS, under the name `service`."""
    return {"name": name, "type": "EDS", "eds_cluster_config": {
        "eds_config": {"ads": {}, "resource_api_version": "V3"},
        **({"service_name": service} if service else {})}}


def inline_cluster(name, *places, type="STATIC"):
    """A cluster that brings its endpoints along."""
    return {"name": name, "type": type, "load_assignment": assignment(name, *places)}


def aggregate(name, *members):
    """A cluster of other clusters, best first."""
    return {"name": name, "cluster_type": {"name": "envoy.clusters.aggregate", "typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.clusters.aggregate.v3.ClusterConfig",
        "clusters": list(members)}}}


def route(name, hosts):
    """A route configuration: domains of a host to a cluster, or to {cluster: weight}."""
    def action(to):
        if isinstance(to, str):
            return {"cluster": to}
        return {"weighted_clusters": {"clusters": [{"name": one, "weight": weight}
                                                   for one, weight in to.items()]}}
    return {"name": name, "virtual_hosts": [
        {"name": domain, "domains": [domain], "routes": [{"match": {"prefix": "/"}, "route": action(to)}]}
        for domain, to in hosts.items()]}


def listener(name, *, route_name=None, inline=None):
    """A listener for gRPC clients, which names a route configuration or holds it."""
    manager = {"@type": "type.googleapis.com/envoy.extensions.filters.network."
                        "http_connection_manager.v3.HttpConnectionManager",
               **({"route_config": inline} if inline else
                  {"rds": {"route_config_name": route_name, "config_source": {"ads": {}}}})}
    return {"name": name, "api_listener": {"api_listener": manager}}


# Certificates

def make_certificates(directory, client="DNS:client.test"):
    """ca.crt; server.crt for 127.0.0.1 and plane.test, client.crt, and their keys; by openssl."""
    directory.mkdir(parents=True, exist_ok=True)

    def openssl(*words):
        subprocess.run(["openssl", *map(str, words)], cwd=directory, check=True, capture_output=True,
                       stdin=subprocess.DEVNULL)

    curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    openssl("req", "-x509", *curve, "-keyout", "ca.key", "-out", "ca.crt", "-subj", "/CN=tests",
            "-days", 30)
    for name, names in (("server", "IP:127.0.0.1,DNS:plane.test"), ("client", client)):
        (directory / "names").write_text(f"subjectAltName={names}\n")
        openssl("req", *curve, "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", f"/CN={name}")
        openssl("x509", "-req", "-in", f"{name}.csr", "-CA", "ca.crt", "-CAkey", "ca.key",
                "-CAcreateserial", "-out", f"{name}.crt", "-days", 30, "-extfile", "names")
    return directory


# Servers

class Refused(Exception):
    pass


class _Process:
    """A server that says "ready" and ends with its standard input."""

    def __init__(self, directory, name):
        self.directory = pathlib.Path(directory)
        self.directory.mkdir(parents=True, exist_ok=True)
        self.log = self.directory / f"{name}.log"
        self.process = None

    def command(self):
        raise NotImplementedError

    def begin(self):
        """Starts the server and does not wait for it."""
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(list(map(str, self.command())), stdin=subprocess.PIPE,
                                            stdout=subprocess.PIPE, stderr=log, text=True)

    def start(self):
        self.begin()
        if self.process.stdout.readline() != "ready\n":
            raise RuntimeError(f"{self.log} tells why this server did not start:\n"
                               f"{self.log.read_text(errors='replace')[-2000:]}")
        return self

    def stop(self):
        """Ends the server as a crash would."""
        if self.process:
            self.process.kill()
            self.process.wait()
            self.process.stdin.close()
            self.process.stdout.close()
        self.process = None


class _Unix(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("localhost", timeout=60)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self.path))


class Plane(_Process):
    """go-control-plane. `options` are the flags of xds/plane/main.go, with _ for -. What it serves is kept
    here too, so that one that is started again serves the same."""

    def __init__(self, directory, launch=(), *, address="127.0.0.1:18000", name="plane", **options):
        super().__init__(directory, name)
        self.launch, self.address, self.options = list(launch), address, options
        self.control = self.directory / f"{name}.socket"
        self.program = plane_program()
        self.kept = {}
        self.names = None

    def command(self):
        flags = {"grpc": self.address, "control": self.control, **self.options}
        return [*self.launch, self.program,
                *(f"-{key.replace('_', '-')}={value}" for key, value in flags.items())]

    def start(self):
        super().start()
        self._ask("POST", "/change", {
            "set": {short: list(documents.values()) for short, documents in self.kept.items()},
            **({"names": self.names} if self.names else {})})
        return self

    def _ask(self, method, path, body=None):
        connection = _Unix(self.control)
        try:
            connection.request(method, path, json.dumps(body) if body is not None else None)
            reply = connection.getresponse()
            text = reply.read().decode()
            if reply.status != 200:
                raise Refused(f"{path}: {text}")
            return json.loads(text)
        finally:
            connection.close()

    # What it serves

    def set(self, **types):
        """Serves documents, by type: clusters, endpoints, listeners, routes."""
        for short, documents in types.items():
            for document in documents:
                self.kept.setdefault(short, {})[document.get("cluster_name") or document["name"]] = document
        self._ask("POST", "/change", {"set": types})

    def serve(self, name, *places, **more):
        """An EDS cluster and its endpoints."""
        self.set(clusters=[cluster(name)], endpoints=[assignment(name, *places, **more)])

    def assign(self, name, *places, **more):
        """Other endpoints for a cluster."""
        self.set(endpoints=[assignment(name, *places, **more)])

    def remove(self, **types):
        for short, names in types.items():
            for name in names:
                self.kept.get(short, {}).pop(name, None)
        self._ask("POST", "/change", {"remove": types})

    def set_names(self, **hosts):
        """Istio's name table; kubernetes_host=["192.0.2.1"] with hosts given as a dict by ** ."""
        self.names = {host: {"ips": ips, "registry": "Kubernetes"} for host, ips in hosts.items()}
        self._ask("POST", "/change", {"names": self.names})

    def raw(self, type, name, data):
        """Serves bytes as a resource."""
        self._ask("POST", "/change", {"raw": [{"type": type, "name": name, "bytes": data.hex()}]})

    def fill(self, clusters, endpoints):
        self._ask("POST", "/change", {"fill": {"clusters": clusters, "endpoints": endpoints}})

    # How it behaves

    def do(self, **order):
        """What xds/plane/control.go takes: token, spoil + of, brief, wire, end, goaway, inject, reset,
        health."""
        self._ask("POST", "/do", order)

    # What clients said

    def seen(self, after=0, **wanted):
        """Entries of the journal (xds/plane/journal.go) whose fields have the values `wanted`."""
        return [entry for entry in self._ask("GET", f"/seen?after={after}")
                if all(entry.get(key) == value for key, value in wanted.items())]

    def requests(self, **wanted):
        return self.seen(what="request", **wanted)

    def refusals(self, **wanted):
        """What clients did not accept (NACK)."""
        return [entry for entry in self.requests(**wanted) if "error" in entry]


class Other(_Process):
    """The plane on grpc-js: state of the world only."""

    def __init__(self, directory, launch=(), *, address="127.0.0.1:18001"):
        super().__init__(directory, "other")
        self.launch, self.address = list(launch), address
        self.journal = self.directory / "other.journal"
        self.program = other_program()

    def command(self):
        return [*self.launch, "node", self.program, self.address, self.journal]

    def _order(self, **order):
        self.process.stdin.write(json.dumps(order) + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        if answer != "done\n":
            raise Refused(self.log.read_text(errors="replace")[-2000:])

    def serve(self, **clusters):
        """All that it serves: a cluster's addresses by its name."""
        self._order(set={"clusters": [cluster(name) for name in clusters],
                         "endpoints": [assignment(name, *addresses)
                                       for name, addresses in clusters.items()]})

    def end(self, code=0):
        """Ends all streams."""
        self._order(end=code)

    def requests(self):
        if not self.journal.exists():
            return []
        return [json.loads(line) for line in self.journal.read_text().splitlines()]


if __name__ == "__main__":
    if sys.argv[1:] != ["fetch"]:
        sys.exit(__doc__)
    try:
        print(plane_program())
        print(other_program())
    except debian.Unavailable as reason:
        sys.exit(f"xds.py: {reason}")
