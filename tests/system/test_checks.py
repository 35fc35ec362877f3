# SPDX-License-Identifier: LGPL-2.1-or-later
"""Health checks of the local registry, against real servers that hang, flap, answer with errors, close early and
redirect: getaddrinfo follows."""
import json
import subprocess
import sys

import pytest

from world import BUILD, TOP, instance, wait_until

NAME = "orders.sd.internal"
ADDRESS = "192.0.2.1"
PORT = 8080
# A check's state follows a server within its interval and its timeout; a loaded machine takes longer.
PATIENCE = 60


class Server:
    """tests/registries/checked_server.py in a world."""

    def __init__(self, world, port=PORT, behaviour="200", certificate=None):
        self.world, self.port = world, port
        self.behaviour = world.directory / f"behaviour-{port}"
        self.log = world.directory / f"requests-{port}"
        self.certificate = certificate
        self.behave(behaviour)
        self.start()

    def start(self):
        self.process = self.world.start(
            sys.executable, TOP / "tests/registries/checked_server.py", self.port, self.behaviour, self.log,
            *([self.certificate] if self.certificate else []), module=False, stdout=subprocess.PIPE)
        assert self.process.stdout.readline() == "ready\n"

    def stop(self):
        self.process.kill()
        self.process.wait()

    def behave(self, word):
        temporary = self.behaviour.with_suffix(".new")
        temporary.write_text(word)
        temporary.rename(self.behaviour)

    def requests(self):
        return self.log.read_text().splitlines()


def checked(check, address=ADDRESS, **keys):
    """An instance of orders with a check that runs every second."""
    return instance("orders", address, id=keys.pop("id", "o1"),
                    check={"interval": "1s", "timeout": "1s"} | check, **keys)


def http(path="/readyz", **keys):
    return {"http": f"http://127.0.0.1:{PORT}{path}"} | keys


def checks_of(world, name=NAME):
    endpoints = world.sdctl("query", "--json", name).stdout
    return [check for endpoint in json.loads(endpoints)["answer"]["endpoints"]
            for check in endpoint["checks"] or []]


def wait_state(world, state, output="", name=NAME):
    def holds():
        return next((check for check in checks_of(world, name)[:1]
                     if check["known"] and check["state"] == state and output in check["output"]), None)
    return wait_until(holds, PATIENCE, f"{state}: {output}")


def follow(world, addresses):
    world.wait_for(NAME, addresses, PATIENCE)


def test_getaddrinfo_follows_an_http_check(world):
    server = Server(world, behaviour="503")
    world.services("orders", checked(http()))
    follow(world, [])
    assert "HTTP 503: all is told" in wait_state(world, "critical", "503")["output"]
    for word, addresses, state, output in [
        ("200", [ADDRESS], "passing", "HTTP 200"),
        ("404", [], "critical", "HTTP 404"),
        ("429", [ADDRESS], "warning", "HTTP 429"),
        ("hang", [], "critical", ""),
        ("204", [ADDRESS], "passing", "HTTP 204"),
        ("stall", [], "critical", ""),
        ("endless", [ADDRESS], "passing", "HTTP 200"),
        ("close", [], "critical", ""),
        ("to=/ok", [ADDRESS], "passing", "HTTP 200"),
        ("garbage", [], "critical", ""),
        (f"to=http://127.0.0.1:{PORT}/ok", [ADDRESS], "passing", "HTTP 200"),
        ("short", [], "critical", ""),
        ("200", [ADDRESS], "passing", "HTTP 200"),
        ("to=http://localhost:8080/ok", [], "critical", "HTTP 302"),
    ]:
        server.behave(word)
        follow(world, addresses)
        wait_state(world, state, output)
    server.behave("200")
    follow(world, [ADDRESS])
    server.stop()
    follow(world, [])
    wait_state(world, "critical", "Connection refused")
    server.start()
    follow(world, [ADDRESS])


def test_a_server_that_flaps_is_damped_and_one_that_is_down_is_not(world):
    server = Server(world, behaviour="200")
    world.services("orders", checked(http(failures_before_critical=2, success_before_passing=2, timeout="20s")))
    follow(world, [ADDRESS])
    server.behave("flap")
    begun = len(server.requests())
    with world.client() as client:
        while len(server.requests()) < begun + 6:
            assert client.getaddrinfo(NAME)["addresses"] == [ADDRESS]
    server.behave("503")
    follow(world, [])
    server.behave("flap")
    begun = len(server.requests())
    with world.client() as client:
        while len(server.requests()) < begun + 6:
            assert client.getaddrinfo(NAME)["addresses"] == []
    server.behave("200")
    follow(world, [ADDRESS])


def test_a_request_is_what_the_definition_says_and_its_secrets_are_shown_nowhere(world):
    server = Server(world)
    world.services("orders", checked(http("/deep?key=sesame", method="POST", body="sesame",
                                          header={"X-Token": ["sesame"], "Host": ["orders.example"]})))
    follow(world, [ADDRESS])
    request = server.requests()[0]
    assert request.startswith("POST /deep?key=sesame HTTP/1.1|")
    for line in ("|X-Token: sesame|", "|Host: orders.example|", "|Connection: close|", "|Content-Length: 6|"):
        assert line in request, request
    server.behave("503")
    follow(world, [])
    shown = [world.daemon.log(), *(world.sdctl(*words).stdout for words in (
        ("query", NAME), ("query", "--json", NAME), ("status", "--json"), ("services", "--json")))]
    for text in shown:
        assert "orders" in text or "local" in text
        assert "sesame" not in text
    state = world.directory / "state/checks.json"
    wait_until(lambda: state.exists() and "critical" in state.read_text(), what="the state on disk")
    assert "sesame" not in state.read_text()
    assert state.stat().st_mode & 0o777 == 0o600


@pytest.fixture
def certificate(world):
    """Of its own making, for orders.example."""
    path = world.directory / "server.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                    "-keyout", path, "-out", world.directory / "cert", "-days", "2", "-subj", "/CN=orders.example"],
                   check=True, capture_output=True, timeout=60)
    with open(path, "a", encoding="ascii") as file:
        file.write((world.directory / "cert").read_text())
    return path


def test_a_certificate_of_its_own_making_passes_only_where_it_is_told_to(world, certificate):
    server = Server(world, certificate=certificate)
    url = {"http": f"https://127.0.0.1:{server.port}/"}
    world.services("orders", checked(url))
    world.addresses(NAME)
    wait_state(world, "critical", "certificate")
    world.services("orders", checked(url | {"tls_skip_verify": True}))
    follow(world, [ADDRESS])
    world.services("orders", checked({"tcp": f"127.0.0.1:{server.port}", "tcp_use_tls": True}))
    wait_state(world, "critical", "certificate")
    world.services("orders", checked({"tcp": f"127.0.0.1:{server.port}", "tcp_use_tls": True,
                                      "tls_skip_verify": True, "tls_server_name": "orders.example"}))
    wait_state(world, "passing", "handshake")


def test_getaddrinfo_follows_a_tcp_check(make_world):
    world = make_world(address4="198.51.100.1/24")
    world.registry("local", "[Registry]\nType=local\n")
    world.start_daemon()
    server = Server(world)
    # By address, by a name of /etc/hosts, and at a host of the network that does not answer at all.
    world.services("orders", checked({"tcp": f"127.0.0.1:{PORT}"}),
                   checked({"tcp": f"localhost:{PORT}"}, "192.0.2.2", id="o2"),
                   checked({"tcp": f"198.51.100.99:{PORT}"}, "192.0.2.3", id="o3"))
    follow(world, [ADDRESS, "192.0.2.2"])
    wait_until(lambda: "no answer in time" in checks_of(world)[2]["output"], PATIENCE, "a time-out")
    server.stop()
    follow(world, [])
    server.start()
    follow(world, [ADDRESS, "192.0.2.2"])
    assert checks_of(world)[0]["output"] == f"127.0.0.1:{PORT}: connected"


def test_a_ttl_check_is_kept_alive_by_sdctl_pass(world):
    done = world.sdctl("register", "orders", "--id=o1", "--address", ADDRESS, "--check=ttl:10s")
    assert done.returncode == 0, done.stderr
    assert world.addresses(NAME) == []
    assert world.sdctl("pass", "o1", "--note", "all is well").stdout == "o1: passing, 1 ttl check\n"
    assert world.addresses(NAME) == [ADDRESS]
    assert "all is well" in world.sdctl("query", NAME).stdout
    follow(world, [])
    wait_state(world, "critical", "not heard of in time; last: all is well")
    assert world.sdctl("warn", "service:o1").returncode == 0
    assert world.addresses(NAME) == [ADDRESS]
    assert world.sdctl("fail", "o1", "--note=draining").returncode == 0
    assert world.addresses(NAME) == []
    done = world.sdctl("pass", "nobody")
    assert done.returncode == 1 and "no instance and no check" in done.stderr
    assert world.sdctl("deregister", "orders").returncode == 0
    assert world.sdctl("pass", "o1").returncode == 1


@pytest.mark.root
def test_a_word_is_for_those_who_may_register(world):
    world.services("orders", instance("orders", ADDRESS, id="o1", check={"ttl": "1h"}))
    assert world.addresses(NAME) == []
    done = world.run("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", BUILD / "sdctl", "pass", "o1")
    assert done.returncode == 1 and "Permission denied" in done.stderr
    assert world.addresses(NAME) == []


def test_a_definition_is_registered_with_its_checks_and_survives_a_restart(world):
    server = Server(world)
    # Its check hangs for longer than the restart may take.
    definition = {"service": checked(http(timeout="10s"), port=PORT)}
    done = world.sdctl("register", "--definition", "-", input=json.dumps(definition), stdin=None)
    assert (done.returncode, done.stdout) == (0, "Registered orders, instance o1\n"), done.stderr
    follow(world, [ADDRESS])
    world.services("web", instance("web", "192.0.2.7", id="w1",
                                   check={"tcp": "127.0.0.1:1", "interval": "1s", "status": "passing"}))
    wait_state(world, "critical", name="web.sd.internal")
    # What was well is handed out at once, without a new result, and what was critical is not.
    server.behave("hang")
    world.daemon.restart()
    assert world.addresses(NAME) == [ADDRESS]
    assert world.addresses("web.sd.internal") == []
    follow(world, [])


def test_other_instances_serve_while_one_is_critical(world):
    server = Server(world)
    world.services("orders", checked(http()), instance("orders", "192.0.2.2", id="o2"))
    follow(world, [ADDRESS, "192.0.2.2"])
    server.behave("500")
    follow(world, ["192.0.2.2"])
    text = world.sdctl("query", NAME).stdout
    assert "critical" in text and f"http http://127.0.0.1:{PORT}/readyz" in text and "HTTP 500" in text, text
    server.behave("200")
    follow(world, [ADDRESS, "192.0.2.2"])
    world.daemon.wait_log("Instance 'o1' is critical: check 'service:o1'")
    world.daemon.wait_log("Instance 'o1' is passing")


def test_kinds_of_checks_that_are_not_run_are_told_with_file_and_line(world):
    text = json.dumps({"service": checked({"args": ["/bin/true"]}) | {"address": ADDRESS}}, indent=1)
    line = 1 + text[:text.index('"args"')].count("\n")
    world.local("orders", text)
    world.daemon.wait_log(f"orders.json:{line}: service.check.args: nss-sd does not run checks of this kind")
    follow(world, [ADDRESS])


def test_hundreds_of_checks_run_beside_servers_that_hang(world):
    """A limit bounds how many run at a time: none of those that can be answered is lost for it."""
    hanging = Server(world, 8081, "hang")
    good = Server(world)
    world.services("many", *(instance("many", f"192.0.2.{i}", id=f"m{i}", check={
        "http": f"http://127.0.0.1:{hanging.port}/", "interval": "1s", "timeout": "10s"}) for i in range(1, 200)))
    world.services("orders", checked(http()))
    follow(world, [ADDRESS])
    begun = len(good.requests())
    wait_until(lambda: len(good.requests()) > begun + 3, PATIENCE, "checks go on")
    assert world.addresses(NAME) == [ADDRESS]
