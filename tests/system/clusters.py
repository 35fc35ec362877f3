# SPDX-License-Identifier: LGPL-2.1-or-later
"""Kubernetes clusters for the tests: the real server or the fake one, each in a world of its own, and
machines (worlds that share its network) whose daemons learn from it."""
import select

import kubernetes
from world import TOP, World

# What a lookup may take before it is told to try again; the machine may be busy.
PATIENCE = "10s"


class Cluster:
    """`home` is the world that the server lives in, `api` is how the test writes to it."""

    def __init__(self):
        self.home = World()
        self.api = None
        self.settings = {}
        self._machines = []

    def machine(self, *, start=True, policy=None, resolve=None, secret=None, **settings):
        """A world with a daemon; `settings` are keys of its registry, `resolve` of [Resolve], `policy`
        of a policy for all names, `secret` is the token it has."""
        world = World(network=self.home)
        self._machines.append(world)
        settings = {"Type": "kubernetes", **self.settings, **settings}
        if secret:
            settings["TokenFile"] = world.directory / "token"
            write_token(world, secret)
        world.registry("cluster", "\n".join(["[Registry]", *(f"{key}={value}" for key, value
                                                            in settings.items()), ""]))
        world.resolve_settings(**{"LookupTimeoutSec": PATIENCE, **(resolve or {})})
        if policy:
            (world.config / "services.d").mkdir(exist_ok=True)
            (world.config / "services.d/all.policy").write_text(
                "\n".join(["[Match]", "Name=*", "[Policy]",
                           *(f"{key}={value}" for key, value in policy.items()), ""]))
        if start:
            world.start_daemon()
        return world

    def close_machines(self):
        errors = []
        while self._machines:
            try:
                self._machines.pop().close()
            except AssertionError as error:
                errors.append(str(error))
        assert not errors, "\n".join(errors)

    def close(self):
        try:
            self.close_machines()
        finally:
            self.home.close()


def write_token(world, secret):
    """As kubelet does: the file is replaced."""
    new = world.directory / "token.new"
    new.write_text(secret + "\n")
    new.chmod(0o600)
    new.rename(world.directory / "token")


class RealCluster(Cluster):
    def __init__(self):
        super().__init__()
        try:
            self.server = kubernetes.Server(self.home.directory / "cluster", self.home.launch)
            self.home.defer(self.server.stop_all)
            self.server.start()
        except BaseException:
            self.close()
            raise
        self.api = self.server.api
        self.settings = {"URL": self.server.url, "CAFile": self.server.ca}
        self._namespaces = 0

    def machine(self, **options):
        return super().machine(**{"secret": kubernetes.ADMIN_TOKEN, **options})

    def namespace(self):
        """A new namespace, so that tests that share the server do not meet."""
        self._namespaces += 1
        name = f"test-{self._namespaces}"
        self.api.create(kubernetes.namespace(name))
        return name


class FakeCluster(Cluster):
    """The fake; `behaviour` is what fake_kubernetes.BEHAVIOUR lists."""

    def __init__(self, **behaviour):
        super().__init__()
        script = TOP / "tests/registries/fake_kubernetes.py"
        self.process = self.home.start("/usr/bin/python3", "-I", script, kubernetes.PORT,
                                       module=False, stdout=-1,
                                       stderr=open(self.home.directory / "fake.err", "w"))
        assert select.select([self.process.stdout], [], [], 30)[0], "the fake does not start"
        assert self.process.stdout.readline() == "ready\n"
        self.api = kubernetes.Api(self.home.launch)
        self.home.defer(self.api.close)
        self.settings = {"URL": f"http://127.0.0.1:{kubernetes.PORT}"}
        self.behave(**behaviour)

    def control(self, body=None):
        return self.api.request("POST" if body else "GET", "/control", body)

    def behave(self, **behaviour):
        if behaviour:
            self.control({"set": behaviour})
            self.api.close()

    def do(self, action):
        self.control({"do": action})

    def requests(self, part=""):
        """Paths that daemons asked for so far."""
        return [path for path in self.control()["requests"] if part in path]


