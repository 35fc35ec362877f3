# SPDX-License-Identifier: LGPL-2.1-or-later
"""Istio's own control plane for the tests: pilot-discovery, built from its Go modules and not changed.

It learns of services from files with ServiceEntries, and insists on a Kubernetes beside: a stub here
serves one in which there is nothing. What is built is kept outside the tree, in
${XDG_CACHE_HOME:-$HOME/.cache}/nss-sd-tests.

    istio.py fetch        builds what was not built before; prints where it is
    istio.py stub PORT    the empty Kubernetes, on 127.0.0.1 (what Istio starts)
"""
import http.server
import json
import os
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(__file__))
import debian  # noqa: E402
import xds  # noqa: E402

GO_VERSION = (1, 26)
PACKAGE = "istio.io/istio/pilot/cmd/pilot-discovery"
# The one that the stub takes for that of the service account "default" of the namespace "shop".
TOKEN = "a-token-that-kubernetes-takes"
# What Istio's own build sets.
TAGS = "-tags=vtprotobuf,disable_pgv"
# It is built in two thirds of the time so, and is quick enough.
QUICKLY = "-gcflags=all=-N -l"


def program():
    """pilot-discovery; the first time it takes minutes of two cores. Raises debian.Unavailable."""
    return xds.built("istio", "pilot-discovery", lambda directory: xds.build_go(
        directory, "pilot-discovery", PACKAGE, TAGS, QUICKLY, minimum=GO_VERSION))


def service_entry(host, *addresses, namespace="shop", ports=((80, "HTTP"),), vip=None, zone=None):
    """A ServiceEntry of Istio; `addresses` of its endpoints, or (address, locality) of each."""
    places = [(one, zone) if isinstance(one, str) else one for one in addresses]
    return {
        "apiVersion": "networking.istio.io/v1", "kind": "ServiceEntry",
        "metadata": {"name": host.split(".")[0], "namespace": namespace},
        "spec": {
            "hosts": [host], "location": "MESH_INTERNAL", "resolution": "STATIC",
            **({"addresses": [vip]} if vip else {}),
            "ports": [{"number": number, "name": f"port-{number}", "protocol": protocol,
                       "targetPort": 8000 + number} for number, protocol in ports],
            "endpoints": [{"address": address, **({"locality": place} if place else {})}
                          for address, place in places]}}


class Istio:
    """One istiod: 15010 is plain, 15012 TLS where `certificates` (xds.make_certificates) are given."""

    PORT, SECURE_PORT, HTTP_PORT, STUB_PORT = 15010, 15012, 15080, 15064

    def __init__(self, directory, launch=(), *, certificates=None):
        self.program = program()
        self.directory, self.launch, self.certificates = directory, list(launch), certificates
        self.config = directory / "config"
        self.config.mkdir(parents=True)
        self.log = directory / "istio.log"
        self.processes = []
        (directory / "mesh.yaml").write_text("{}\n")
        (directory / "kubeconfig").write_text(json.dumps({
            "apiVersion": "v1", "kind": "Config", "current-context": "stub",
            "clusters": [{"name": "stub", "cluster": {"server": f"http://127.0.0.1:{self.STUB_PORT}"}}],
            "contexts": [{"name": "stub", "context": {"cluster": "stub", "user": "nobody"}}],
            "users": [{"name": "nobody", "user": {}}]}))

    def _run(self, *command, **environment):
        with open(self.log, "ab") as log:
            process = subprocess.Popen([*self.launch, *map(str, command)], stdin=subprocess.DEVNULL,
                                       stdout=log, stderr=log, cwd=self.directory,
                                       env={**os.environ, **environment})
        self.processes.append(process)

    def start(self, timeout=60):
        here = "127.0.0.1"
        self._run(sys.executable, __file__, "stub", self.STUB_PORT)
        tls = self.certificates
        self._run(
            self.program, "discovery", "--registries=Kubernetes", "--configDir", self.config,
            "--kubeconfig", self.directory / "kubeconfig", "--meshConfig",
            self.directory / "mesh.yaml", "--grpcAddr", f"{here}:{self.PORT}",
            "--secureGRPCAddr", f"{here}:{self.SECURE_PORT}" if tls else "",
            "--httpAddr", f"{here}:{self.HTTP_PORT}", "--httpsAddr", "", "--monitoringAddr", "",
            "--ctrlz_port", "0",
            *(["--tlsCertFile", tls / "server.crt", "--tlsKeyFile", tls / "server.key",
               "--caCertFile", tls / "ca.crt"] if tls else []),
            # Nothing of it is for a control plane by itself: certificates, webhooks, elections.
            ENABLE_CA_SERVER="false", PILOT_CERT_PROVIDER="none", VALIDATION_WEBHOOK_CONFIG_NAME="",
            INJECTION_WEBHOOK_CONFIG_NAME="", ENABLE_LEADER_ELECTION="false",
            PILOT_ENABLE_GATEWAY_API="false", PILOT_ENABLE_ANALYSIS="false", POD_NAME="istiod",
            POD_NAMESPACE="istio-system")
        ready = [*self.launch, sys.executable, "-c",
                 "import sys, urllib.request; urllib.request.urlopen(sys.argv[1])",
                 f"http://{here}:{self.HTTP_PORT}/ready"]
        deadline = time.monotonic() + timeout
        while subprocess.run(ready, capture_output=True).returncode != 0:
            if any(p.poll() is not None for p in self.processes) or time.monotonic() > deadline:
                raise RuntimeError(f"istiod did not start:\n{self.log.read_text()[-3000:]}")
            time.sleep(0.05)
        return self

    def stop(self):
        while self.processes:
            process = self.processes.pop()
            process.kill()
            process.wait()

    def entry(self, file, *arguments, **more):
        """Writes a file with a ServiceEntry the way an editor does: aside, then renamed."""
        temporary = self.directory / "entry.new"
        temporary.write_text(json.dumps(service_entry(*arguments, **more)))
        temporary.rename(self.config / f"{file}.yaml")

    def remove(self, file):
        (self.config / f"{file}.yaml").unlink()


# The Kubernetes in which there is nothing

_KINDS = {"ingresses": "Ingress", "ingressclasses": "IngressClass", "endpointslices": "EndpointSlice",
          "validatingwebhookconfigurations": "ValidatingWebhookConfiguration",
          "mutatingwebhookconfigurations": "MutatingWebhookConfiguration"}


class _Stub(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def _answer(self, code, body):
        text = json.dumps(body).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def _refuse(self, code, reason):
        self._answer(code, {"kind": "Status", "apiVersion": "v1", "status": "Failure",
                            "reason": reason, "code": code})

    def do_GET(self):
        path, _, query = self.path.partition("?")
        parts = path.strip("/").split("/")
        core = parts[0] == "api"
        version, rest = ("v1", parts[2:]) if core else ("/".join(parts[1:3]), parts[3:])
        if rest[:1] == ["namespaces"] and len(rest) > 2:
            rest = rest[2:]
        if path == "/version":
            self._answer(200, {"major": "1", "minor": "33", "gitVersion": "v1.33.0",
                               "platform": "linux/amd64"})
        elif "sendInitialEvents=true" in query:
            self._refuse(422, "Invalid")  # the client lists then
        elif "watch=" in query:
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            self.rfile.read(1)  # nothing ever happens, until the client goes
        elif len(rest) == 1:
            self._answer(200, {"kind": _KINDS.get(rest[0], "") + "List", "apiVersion": version,
                               "metadata": {"resourceVersion": "1"}, "items": []})
        else:
            self._refuse(404, "NotFound")

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if not self.path.startswith("/apis/authentication.k8s.io/v1/tokenreviews"):
            self._refuse(403, "Forbidden")
            return
        # The question may be protobuf; its token is in there all the same.
        known = TOKEN.encode() in body
        self._answer(201, {"kind": "TokenReview", "apiVersion": "authentication.k8s.io/v1", "status": {
            "authenticated": True, "audiences": ["istio-ca"],
            "user": {"username": "system:serviceaccount:shop:default", "uid": "1",
                     "groups": ["system:serviceaccounts", "system:serviceaccounts:shop"]},
        } if known else {"authenticated": False, "error": "no such token"}})

    do_PUT = do_PATCH = do_POST


def stub(port):
    http.server.ThreadingHTTPServer.daemon_threads = True
    http.server.ThreadingHTTPServer(("127.0.0.1", port), _Stub).serve_forever()


def main(arguments):
    if arguments == ["fetch"]:
        print(program())
    elif arguments[:1] == ["stub"] and len(arguments) == 2:
        stub(int(arguments[1]))
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except debian.Unavailable as reason:
        sys.exit(f"istio.py: {reason}")
