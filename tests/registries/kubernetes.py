# SPDX-License-Identifier: LGPL-2.1-or-later
"""A real Kubernetes API for the tests: kube-apiserver and etcd, and objects to fill it with.

No controllers run: services, slices and the rest are written by the test, as controllers would write
them. Servers live on loopback of the network namespace that `launch` enters; the test drives them from
outside, through connections that are made inside. Never touches a server that it did not start.

    kubernetes.py run DIRECTORY      runs both in the foreground; the API is on https://127.0.0.1:16443,
                                     with DIRECTORY/ca.crt and the tokens of DIRECTORY/tokens.csv
"""
import base64
import http.client
import ipaddress
import json
import os
import pathlib
import signal
import socket
import ssl
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(__file__))
import debian  # noqa: E402
import kubernetes_build  # noqa: E402

PORT, ETCD_PORT, ETCD_PEER_PORT = 16443, 23790, 23800
ADMIN_TOKEN = "test-admin"
# Of no group: what it may is what a test gives it.
PLAIN_TOKEN = "test-plain"
TOKENS = f"{ADMIN_TOKEN},admin,1,system:masters\n{PLAIN_TOKEN},plain,2\n"
VIPS4, VIPS6 = "10.96.0.0/16", "fd00:96::/112"

# What nss-sd needs of a cluster, and no more.
LEAST_RIGHTS = [
    {"apiGroups": [""], "resources": ["services"], "verbs": ["list", "watch"]},
    {"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"],
     "verbs": ["list", "watch"]},
]
NAMESPACE_RIGHTS = [{"apiGroups": [""], "resources": ["namespaces"], "verbs": ["list", "watch"]}]


class ApiError(Exception):
    def __init__(self, status, text):
        super().__init__(f"{status}: {text}")
        self.status = status


# Connections

# Runs inside the namespace: connects, and hands the socket out.
CONNECT = """
import socket, sys
made = socket.create_connection(("127.0.0.1", int(sys.argv[1])), 5)
socket.send_fds(socket.socket(fileno=int(sys.argv[2])), [b"."], [made.fileno()])
"""


def connect(launch, port):
    """A TCP connection to a port of the loopback that `launch` leads to."""
    if not launch:
        return socket.create_connection(("127.0.0.1", port), 180)
    ours, theirs = socket.socketpair()
    with ours, theirs:
        done = subprocess.run([*launch, "/usr/bin/python3", "-I", "-c", CONNECT, str(port),
                               str(theirs.fileno())], pass_fds=[theirs.fileno()],
                              stdin=subprocess.DEVNULL, capture_output=True, text=True)
        if done.returncode != 0:
            raise ConnectionRefusedError(done.stderr.strip().rpartition("\n")[2])
        _, (number,), _, _ = socket.recv_fds(ours, 1, 1)
    made = socket.socket(fileno=number)
    made.settimeout(180)
    return made


class Api:
    """Talks to an API server, real or not. One connection is kept; one thread may use it."""

    def __init__(self, launch=(), port=PORT, ca=None, token=ADMIN_TOKEN):
        self.launch, self.port, self.token = list(launch), port, token
        self.tls = ssl.create_default_context(cafile=str(ca)) if ca else None
        self._connection = None
        self._slices = None

    def close(self):
        """Ends the connection, and forgets what the server was seen to have."""
        if self._connection:
            self._connection.close()
        self._connection = self._slices = None

    def _connected(self):
        if not self._connection:
            made = connect(self.launch, self.port)
            made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self.tls:
                made = self.tls.wrap_socket(made, server_hostname="127.0.0.1")
            self._connection = http.client.HTTPConnection("127.0.0.1", self.port)
            self._connection.sock = made
        return self._connection

    def send(self, method, path, body=None, *, token=None, kind="application/json", headers=None):
        """Sends a request; returns the reply, whose body is still to be read."""
        connection = self._connected()
        connection.request(method, path, json.dumps(body) if body is not None else None,
                           {"Content-Type": kind, "Authorization": f"Bearer {token or self.token}",
                            **(headers or {})})
        return connection.getresponse()

    def request(self, method, path, body=None, **options):
        # A connection that the server closed meanwhile is made anew, once.
        for last in (False, True):
            try:
                reply = self.send(method, path, body, **options)
                text = reply.read().decode()
                break
            except (OSError, http.client.HTTPException):
                self.close()
                if last:
                    raise
        if reply.status >= 300:
            raise ApiError(reply.status, text)
        try:
            return json.loads(text)
        except ValueError:
            return text

    def get(self, path, **options):
        return self.request("GET", path, **options)

    # Objects

    def slices_version(self):
        """The version of discovery.k8s.io that the server has."""
        if not self._slices:
            try:
                versions = [one["version"] for one in self.get("/apis/discovery.k8s.io")["versions"]]
            except ApiError:
                # The fake makes Endpoints of slices where those are not served.
                versions = ["v1"]
            self._slices = "v1" if "v1" in versions else "v1beta1"
        return self._slices

    def _collection(self, kind, namespace):
        group = {"EndpointSlice": f"apis/discovery.k8s.io/{self.slices_version()}"
                 if kind == "EndpointSlice" else None,
                 "Role": "apis/rbac.authorization.k8s.io/v1",
                 "RoleBinding": "apis/rbac.authorization.k8s.io/v1",
                 "ClusterRole": "apis/rbac.authorization.k8s.io/v1",
                 "ClusterRoleBinding": "apis/rbac.authorization.k8s.io/v1"}.get(kind, "api/v1")
        plural = {"Endpoints": "endpoints"}.get(kind, kind.lower() + "s")
        place = f"/namespaces/{namespace}" if namespace else ""
        return f"/{group}{place}/{plural}"

    def path(self, item):
        metadata = item["metadata"]
        collection = self._collection(item["kind"], metadata.get("namespace"))
        return f"{collection}/{metadata['name']}"

    def _spoken(self, item):
        """An object in the version that the server has: v1beta1 keeps the zone elsewhere, and knows
        nothing of hints."""
        if item["kind"] != "EndpointSlice" or self.slices_version() == "v1":
            return item
        item = json.loads(json.dumps(item)) | {"apiVersion": "discovery.k8s.io/v1beta1"}
        for endpoint in item.get("endpoints") or []:
            zone, _ = endpoint.pop("zone", None), endpoint.pop("hints", None)
            if zone:
                endpoint["topology"] = {"topology.kubernetes.io/zone": zone}
        return item

    def create(self, *items):
        """Creates objects; returns the last as the server keeps it."""
        kept = None
        for item in items:
            path = self.path(item).rpartition("/")[0]
            kept = self.request("POST", path, self._spoken(item))
            status = item.get("status")
            if status:
                kept = self.request("PATCH", f"{self.path(item)}/status", {"status": status},
                                    kind="application/merge-patch+json")
        return kept

    def replace(self, item):
        """Puts an object in the place of the one that has its name."""
        item = self._spoken(item)
        old = self.get(self.path(item))
        item = json.loads(json.dumps(item))
        item["metadata"]["resourceVersion"] = old["metadata"]["resourceVersion"]
        return self.request("PUT", self.path(item), item)

    def patch(self, item, change):
        return self.request("PATCH", self.path(item), change, kind="application/merge-patch+json")

    def delete(self, *items):
        for item in items:
            self.request("DELETE", self.path(item))

    def service_token(self, name, namespace):
        """A new token of a service account."""
        made = self.request("POST", f"/api/v1/namespaces/{namespace}/serviceaccounts/{name}/token",
                            {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest",
                             "spec": {}})
        return made["status"]["token"]


# Objects

def _object(version, kind, name, namespace=None, **fields):
    metadata = {"name": name, **({"namespace": namespace} if namespace else {}),
                **fields.pop("metadata", {})}
    return {"apiVersion": version, "kind": kind, "metadata": metadata, **fields}


def namespace(name):
    return _object("v1", "Namespace", name)


def node(name, zone):
    return _object("v1", "Node", name, metadata={"labels": {"topology.kubernetes.io/zone": zone}})


def port(number, name=None, protocol="TCP"):
    return {"port": number, "protocol": protocol, **({"name": name} if name else {})}


def service(name, place, *vips, ports=(port(80, "http"),), labels=None, status=None, **spec):
    """A service with these cluster IPs."""
    if vips:
        families = [f"IPv{ipaddress.ip_address(vip).version}" for vip in vips]
        spec |= {"clusterIP": vips[0], "clusterIPs": list(vips), "ipFamilies": families,
                 "ipFamilyPolicy": "RequireDualStack" if len(vips) > 1 else "SingleStack"}
    if ports:
        spec["ports"] = list(ports)
    return _object("v1", "Service", name, place, spec=spec,
                   metadata={"labels": labels} if labels else {},
                   **({"status": status} if status else {}))


def headless(name, place, **more):
    return service(name, place, clusterIP="None", clusterIPs=["None"], **more)


def external(name, place, target):
    return service(name, place, ports=(), type="ExternalName", externalName=target)


def endpoint(address, host=None, *, ready=True, pod=None, node=None, zone=None, hints=None,
             **conditions):
    """`conditions`: serving, terminating. ready=None leaves all of them out."""
    made = {"addresses": [address],
            "conditions": {} if ready is None else {"ready": ready, **conditions}}
    if host:
        made["hostname"] = host
    if pod:
        made["targetRef"] = {"kind": "Pod", "name": pod}
    if node:
        made["nodeName"] = node
    if zone:
        made["zone"] = zone
    if hints:
        made["hints"] = hints
    return made


def endpoint_slice(name, place, of, *endpoints, ports=(port(8080, "http"),)):
    """A slice of the service `of`; an endpoint is one of endpoint(), or its address."""
    endpoints = [endpoint(one) if isinstance(one, str) else one for one in endpoints]
    first = endpoints[0]["addresses"][0] if endpoints else "0.0.0.0"
    return _object("discovery.k8s.io/v1", "EndpointSlice", name, place,
                   metadata={"labels": {"kubernetes.io/service-name": of}},
                   addressType=f"IPv{ipaddress.ip_address(first).version}",
                   endpoints=endpoints, ports=list(ports))


def endpoints(name, place, *addresses, not_ready=(), ports=(port(8080, "http"),)):
    """The object that slices took the place of."""
    subset = {"addresses": [{"ip": one} for one in addresses],
              "notReadyAddresses": [{"ip": one} for one in not_ready], "ports": list(ports)}
    return _object("v1", "Endpoints", name, place,
                   subsets=[{key: value for key, value in subset.items() if value}])


def grant(subject, rules, place=None):
    """A role and its binding, of one namespace or of all; `subject`: a user, or NAMESPACE:ACCOUNT."""
    scope = "" if place else "Cluster"
    where, _, account = subject.rpartition(":")
    who = ({"kind": "ServiceAccount", "name": account, "namespace": where} if where else
           {"kind": "User", "name": subject, "apiGroup": "rbac.authorization.k8s.io"})
    name, version = f"test-{account}", "rbac.authorization.k8s.io/v1"
    return (_object(version, f"{scope}Role", name, place, rules=rules),
            _object(version, f"{scope}RoleBinding", name, place, subjects=[who],
                    roleRef={"apiGroup": "rbac.authorization.k8s.io", "kind": f"{scope}Role",
                             "name": name}))


# Certificates

def make_certificates(directory):
    """ca.crt, server.crt and server.key for 127.0.0.1, sa.key for tokens; by openssl."""
    def openssl(*words):
        subprocess.run(["openssl", *map(str, words)], check=True, capture_output=True,
                       cwd=directory)

    if (directory / "server.crt").exists():
        return
    openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
            "-keyout", "ca.key", "-out", "ca.crt", "-days", 30, "-subj", "/CN=test-ca")
    openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout",
            "server.key", "-out", "server.csr", "-subj", "/CN=kube-apiserver")
    (directory / "names").write_text("subjectAltName=IP:127.0.0.1,DNS:kubernetes.default.svc\n")
    openssl("x509", "-req", "-in", "server.csr", "-CA", "ca.crt", "-CAkey", "ca.key",
            "-CAcreateserial", "-days", 30, "-extfile", "names", "-out", "server.crt")
    openssl("genrsa", "-out", "sa.key", 2048)


# Servers

class Server:
    """kube-apiserver with an etcd of its own. `launch` is put before their command lines."""

    def __init__(self, directory, launch=(), arguments=()):
        self.directory = pathlib.Path(directory)
        self.directory.mkdir(parents=True, exist_ok=True)
        self.launch, self.arguments = list(launch), list(arguments)
        self.program = kubernetes_build.built()
        self.etcd_program = debian.fetch("etcd-server", kubernetes_build.SUITE) / "usr/bin/etcd"
        make_certificates(self.directory)
        (self.directory / "tokens.csv").write_text(TOKENS)
        self.ca = self.directory / "ca.crt"
        self.api = Api(self.launch, PORT, self.ca)
        self.etcd = self.process = None

    @property
    def url(self):
        return f"https://127.0.0.1:{PORT}"

    def etcd_command(self):
        client, peer = (f"http://127.0.0.1:{port}" for port in (ETCD_PORT, ETCD_PEER_PORT))
        return [*self.launch, self.etcd_program, "--data-dir", self.directory / "etcd",
                "--listen-client-urls", client, "--advertise-client-urls", client,
                "--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer,
                "--initial-cluster", f"default={peer}", "--unsafe-no-fsync"]

    def command(self):
        keys = self.directory
        options = {
            "etcd-servers": f"http://127.0.0.1:{ETCD_PORT}",
            "bind-address": "127.0.0.1", "advertise-address": "192.0.2.10",
            "secure-port": PORT, "insecure-port": 0, "cert-dir": keys,
            "tls-cert-file": keys / "server.crt", "tls-private-key-file": keys / "server.key",
            "client-ca-file": self.ca, "token-auth-file": keys / "tokens.csv",
            "authorization-mode": "RBAC", "anonymous-auth": "false",
            "service-cluster-ip-range": f"{VIPS4},{VIPS6}",
            "feature-gates": "IPv6DualStack=true,EndpointSliceTerminatingCondition=true,"
                             "EndpointSliceNodeName=true",
            "service-account-issuer": "https://kubernetes.default.svc",
            "service-account-key-file": keys / "sa.key",
            "service-account-signing-key-file": keys / "sa.key",
            "disable-admission-plugins": "ServiceAccount",
        }
        return [*self.launch, self.program, *(f"--{k}={v}" for k, v in options.items()),
                *self.arguments]

    # Life

    def _spawn(self, command, log):
        with open(self.directory / log, "ab") as file:
            return subprocess.Popen(list(map(str, command)), stdin=subprocess.DEVNULL, stdout=file,
                                    stderr=file)

    def start(self, timeout=60):
        """Starts what does not run, and returns when the API is ready."""
        if not self.etcd:
            self.etcd = self._spawn(self.etcd_command(), "etcd.log")
        self.process = self._spawn(self.command(), "apiserver.log")
        deadline = time.monotonic() + timeout
        while not self._ready():
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"kube-apiserver did not start:\n{self.log_tail()}")
            time.sleep(0.1)
        return self

    def _ready(self):
        try:
            return self.api.get("/readyz") == "ok"
        except (ApiError, OSError, http.client.HTTPException):
            return False

    def stop(self):
        """Ends the API server as a crash would; etcd keeps what it knew."""
        self.process = _kill(self.process)
        self.api.close()

    def stop_all(self):
        self.stop()
        self.etcd = _kill(self.etcd)

    def restart(self):
        self.stop()
        return self.start()

    def forget_history(self):
        """Has etcd drop every version but the present ones."""
        def etcd(path, body):
            connection = http.client.HTTPConnection("127.0.0.1", ETCD_PORT)
            connection.sock = connect(self.launch, ETCD_PORT)
            connection.request("POST", path, json.dumps(body))
            answer = json.loads(connection.getresponse().read())
            connection.close()
            return answer

        key = base64.b64encode(b"/").decode()
        revision = etcd("/v3/kv/range", {"key": key})["header"]["revision"]
        etcd("/v3/kv/compaction", {"revision": revision})

    def swap_for_an_empty_cluster(self):
        """Another cluster at the same place: same names and keys, nothing in it, versions from 1."""
        self.stop_all()
        (self.directory / "etcd").rename(self.directory / f"etcd.{time.monotonic_ns()}")
        return self.start()

    def pause(self):
        self.process.send_signal(signal.SIGSTOP)

    def resume(self):
        self.process.send_signal(signal.SIGCONT)

    def log_tail(self, lines=30):
        log = self.directory / "apiserver.log"
        text = log.read_text(errors="replace") if log.exists() else ""
        return "\n".join(text.splitlines()[-lines:])


def _kill(process):
    if process and process.poll() is None:
        process.kill()
        process.wait()
    return None


def main(arguments):
    if len(arguments) != 2 or arguments[0] != "run":
        sys.exit(__doc__)
    server = Server(arguments[1]).start()
    print(f"{server.url} is ready", flush=True)
    try:
        signal.sigwait([signal.SIGINT, signal.SIGTERM])
    finally:
        server.stop_all()


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except debian.Unavailable as reason:
        sys.exit(f"kubernetes.py: {reason}")
