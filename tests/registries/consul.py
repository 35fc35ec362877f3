# SPDX-License-Identifier: LGPL-2.1-or-later
"""A real Consul agent for the tests: Debian's own build, run from an unpacked package.

Starts, stops and talks to agents. The HTTP API is reached over a unix socket, so that an agent may
live in a network namespace of its own while the test drives it from outside. Never touches an agent
that it did not start.

    consul.py fetch                        prints the path of the binary
    consul.py run DIRECTORY [ARGUMENT...]  runs a development agent in the foreground; its API is on
                                           127.0.0.1:8500 and on the socket DIRECTORY/http.sock
"""
import http.client
import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(__file__))
import debian  # noqa: E402

# The last Consul that Debian packaged; one binary without dependencies, so any suite runs it.
SUITE = "bullseye"
MANAGEMENT_TOKEN = "00000000-0000-0000-0000-00000000000a"


def binary():
    """The agent's path; raises debian.Unavailable."""
    return debian.fetch("consul", SUITE) / "usr/bin/consul"


class ApiError(Exception):
    def __init__(self, status, text):
        super().__init__(f"{status}: {text}")
        self.status = status


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path, timeout):
        super().__init__("localhost", timeout=timeout)
        self._path = str(path)

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


class Agent:
    """One agent. `launch` is put before its command line (a namespace to enter)."""

    def __init__(self, directory, launch=(), *, datacenter="dc1", address="127.0.0.1",
                 persistent=False, acl=False, settings=None):
        self.directory = pathlib.Path(directory)
        self.directory.mkdir(parents=True, exist_ok=True)
        self.launch = list(launch)
        self.address = address
        self.socket = self.directory / "http.sock"
        self.log = self.directory / "agent.log"
        self.token = MANAGEMENT_TOKEN if acl else None
        self.process = None
        config = {
            "datacenter": datacenter,
            "node_name": f"{datacenter}-agent",
            "server": True,
            "bind_addr": address,
            "client_addr": address,
            "addresses": {"http": f"{address} unix://{self.socket}"},
            "disable_update_check": True,
            "disable_remote_exec": True,
            "leave_on_terminate": False,
            "ports": {"grpc": -1},
        }
        if persistent:
            config |= {"bootstrap": True, "data_dir": str(self.directory / "data"),
                       "performance": {"raft_multiplier": 1}}
        if acl:
            config["acl"] = {"enabled": True, "default_policy": "deny",
                             "tokens": {"master": MANAGEMENT_TOKEN, "agent": MANAGEMENT_TOKEN}}
        (self.directory / "agent.json").write_text(json.dumps(config | (settings or {})))
        self._mode = [] if persistent else ["-dev"]

    def command(self):
        return [*self.launch, str(binary()), "agent", *self._mode, "-config-file",
                str(self.directory / "agent.json")]

    # Life

    def start(self, timeout=60):
        """Starts the agent and returns when it has a leader and knows itself."""
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(self.command(), stdin=subprocess.DEVNULL, stdout=log,
                                            stderr=log)
        deadline = time.monotonic() + timeout
        while not self._ready():
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"consul did not start:\n{self.log_tail()}")
            time.sleep(0.02)
        return self

    def _ready(self):
        try:
            return bool(self.get("/v1/status/leader")) and bool(self.get("/v1/catalog/nodes"))
        except (ApiError, OSError, http.client.HTTPException):
            return False

    def stop(self):
        """Ends the agent as a crash would: nothing is deregistered."""
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.process = None
        self.socket.unlink(missing_ok=True)

    def restart(self):
        self.stop()
        return self.start()

    def pause(self):
        self.process.send_signal(signal.SIGSTOP)

    def resume(self):
        self.process.send_signal(signal.SIGCONT)

    def log_tail(self, lines=30):
        text = self.log.read_text(errors="replace") if self.log.exists() else ""
        return "\n".join(text.splitlines()[-lines:])

    # API

    def request(self, method, path, body=None, token=None, timeout=60):
        connection = _UnixConnection(self.socket, timeout)
        headers = {}
        if token or self.token:
            headers["X-Consul-Token"] = token or self.token
        try:
            connection.request(method, path, json.dumps(body) if body is not None else None,
                               headers)
            reply = connection.getresponse()
            text = reply.read().decode()
        finally:
            connection.close()
        if reply.status != 200:
            raise ApiError(reply.status, text)
        return json.loads(text) if text.strip() else None

    def get(self, path, **options):
        return self.request("GET", path, **options)

    def put(self, path, body=None, **options):
        return self.request("PUT", path, body, **options)

    def register(self, name, address, port=8080, *, id=None, tags=(), status=None, weights=None,
                 meta=None):
        """Registers an instance; with `status` it gets a check that set_status() moves."""
        service = {"ID": id or name, "Name": name, "Address": address, "Port": port,
                   "Tags": list(tags), "Meta": meta or {}}
        if weights:
            service["Weights"] = weights
        if status:
            service["Check"] = {"CheckID": f"check-{service['ID']}", "TTL": "1h",
                                "Status": status}
        self.put("/v1/agent/service/register", service)

    def set_status(self, id, status):
        """`status`: passing, warning or critical."""
        self.put(f"/v1/agent/check/update/check-{id}", {"Status": status})

    def shows(self, name, *addresses, timeout=60):
        """Waits until the catalogue has these instances: an agent tells it a moment after it was told."""
        deadline = time.monotonic() + timeout
        while sorted(one["ServiceAddress"] for one in self.get(f"/v1/catalog/service/{name}")) != sorted(addresses):
            if time.monotonic() > deadline:
                raise RuntimeError(f"the catalogue does not show {addresses} of {name}")
            time.sleep(0.02)

    def deregister(self, id):
        self.put(f"/v1/agent/service/deregister/{id}")

    def maintenance(self, id, enable):
        self.put(f"/v1/agent/service/maintenance/{id}?enable={str(enable).lower()}")

    def node_maintenance(self, enable):
        self.put(f"/v1/agent/maintenance?enable={str(enable).lower()}")

    def register_external(self, node, node_address, name, *, id=None, address="", port=8080,
                          tags=(), checks=()):
        """Writes an instance on another node straight into the catalogue."""
        self.put("/v1/catalog/register", {
            "Node": node, "Address": node_address,
            "Service": {"ID": id or name, "Service": name, "Address": address, "Port": port,
                        "Tags": list(tags)},
            "Checks": list(checks)})

    def deregister_external(self, node, id=None):
        body = {"Node": node}
        if id:
            body["ServiceID"] = id
        self.put("/v1/catalog/deregister", body)

    def make_token(self, rules):
        """A token with a policy of its own; returns (secret, policy id)."""
        policy = self.put("/v1/acl/policy",
                          {"Name": f"test-{time.monotonic_ns()}", "Rules": rules})
        token = self.put("/v1/acl/token", {"Policies": [{"ID": policy["ID"]}]})
        return token["SecretID"], policy["ID"]

    def set_policy(self, policy_id, rules):
        policy = self.get(f"/v1/acl/policy/{policy_id}")
        self.put(f"/v1/acl/policy/{policy_id}", policy | {"Rules": rules})


def main(arguments):
    if arguments[:1] == ["fetch"]:
        print(binary())
    elif arguments[:1] == ["run"] and len(arguments) > 1:
        command = Agent(arguments[1]).command() + arguments[2:]
        os.execv(command[0], command)
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except debian.Unavailable as reason:
        sys.exit(f"consul.py: {reason}")
