# SPDX-License-Identifier: LGPL-2.1-or-later
"""A real Eureka server for the tests: Spring Cloud Netflix's, built once by Maven.

Builds, starts, stops and talks to servers. What is built is kept outside the tree, in
${XDG_CACHE_HOME:-$HOME/.cache}/nss-sd-tests. A server may live in a network namespace: a process of ours
in there speaks HTTP for the test. Never touches a server that it did not start.

    eureka.py fetch              builds the server if that was not done; prints the path of the jar
    eureka.py record DIRECTORY   writes what a server answers, the fixtures of the unit tests
    eureka.py drive              speaks HTTP: a line of JSON in, one out (what Driver starts)
"""
import contextlib
import fcntl
import hashlib
import http.client
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, os.path.dirname(__file__))
import debian  # noqa: E402

PROJECT = pathlib.Path(__file__).parent / "eureka"
MY_OWN = {"@class": "com.netflix.appinfo.InstanceInfo$DefaultDataCenterInfo", "name": "MyOwn"}


def _place():
    digest = hashlib.sha256()
    for path in sorted(p for p in PROJECT.rglob("*") if p.is_file()):
        digest.update(path.read_bytes())
    return debian.cache_directory() / "eureka" / digest.hexdigest()[:16]


def jar():
    """The server, built on first use; raises debian.Unavailable."""
    place = _place()
    done = place / "eureka.jar"
    if done.exists():
        return done
    for program in ("java", "mvn"):
        if not shutil.which(program):
            raise debian.Unavailable(f"{program} is not installed")
    place.mkdir(parents=True, exist_ok=True)
    with open(place / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not done.exists():
            source = place / "source"
            shutil.rmtree(source, ignore_errors=True)
            shutil.copytree(PROJECT, source)
            built = subprocess.run(["mvn", "--quiet", "--batch-mode", "package"], cwd=source,
                                   stdin=subprocess.DEVNULL, capture_output=True, text=True)
            if built.returncode != 0:
                raise debian.Unavailable(f"mvn package: {built.stdout[-3000:]}{built.stderr}")
            (source / "target/eureka.jar").rename(done)
            shutil.rmtree(source)
    return done


class ApiError(Exception):
    pass


class Driver:
    """Speaks HTTP from where `launch` leads."""

    def __init__(self, launch=()):
        self.process = subprocess.Popen([*launch, sys.executable, __file__, "drive"],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask(self, **question):
        self.process.stdin.write(json.dumps(question) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def close(self):
        self.process.stdin.close()
        self.process.wait(10)
        self.process.stdout.close()


def _request(host, port, method, path, body, headers):
    connection = http.client.HTTPConnection(host, port, timeout=10)
    try:
        connection.request(method, path, body, headers)
        reply = connection.getresponse()
        return {"status": reply.status, "headers": reply.getheaders(),
                "body": reply.read().decode(errors="replace"), "at_ns": time.monotonic_ns()}
    except (OSError, http.client.HTTPException) as error:
        return {"status": 0, "body": str(error), "at_ns": time.monotonic_ns()}
    finally:
        connection.close()


def drive():
    """With "until", a text, a question is repeated until the answer holds it; "lacks": does not."""
    for line in sys.stdin:
        question = json.loads(line)
        until, lacks = question.pop("until", None), question.pop("lacks", None)
        end = time.monotonic() + 30
        while True:
            answer = _request(**question)
            good = answer["status"] == 200 and (until is None or until in answer["body"]) and (
                lacks is None or lacks not in answer["body"])
            if (until is None and lacks is None) or good or time.monotonic() > end:
                break
            time.sleep(0.002)
        print(json.dumps(answer), flush=True)


class Server:
    """One server, tuned to be quick: its caches last a second, and it never protects itself."""

    def __init__(self, directory, launch=(), *, address="127.0.0.1", port=8761, peers=(),
                 driver=None):
        self.directory = pathlib.Path(directory)
        self.directory.mkdir(parents=True, exist_ok=True)
        self.launch, self.address, self.port, self.peers = list(launch), address, port, peers
        self.log = self.directory / f"eureka-{address}.log"
        self.url = f"http://{address}:{port}/eureka"
        self.process = None
        self.driver = driver or Driver(launch)

    # Life

    def command(self):
        settings = {
            "server.address": self.address,
            "server.port": self.port,
            "spring.application.name": "eureka",
            "spring.main.banner-mode": "off",
            "eureka.instance.hostname": self.address,
            "eureka.client.register-with-eureka": "false",
            "eureka.client.fetch-registry": "false",
            "eureka.client.serviceUrl.defaultZone": ",".join(self.peers) or f"{self.url}/",
            "eureka.server.response-cache-update-interval-ms": 1000,
            "eureka.server.eviction-interval-timer-in-ms": 1000,
            "eureka.server.enable-self-preservation": "false",
        }
        return [*self.launch, "java", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xmx192m",
                "-jar", str(jar()), *(f"--{key}={value}" for key, value in settings.items())]

    def begin(self):
        """Starts the server and does not wait for it."""
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(self.command(), stdin=subprocess.DEVNULL, stdout=log,
                                            stderr=log)
        return self

    def start(self, timeout=120):
        self.begin()
        return self.wait(timeout)

    def wait(self, timeout=120):
        deadline = time.monotonic() + timeout
        while self.request("GET", "/apps")["status"] != 200:
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"the Eureka server did not start:\n{self.log_tail()}")
            time.sleep(0.1)
        return self

    def stop(self):
        """Ends the server as a crash would."""
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.process = None

    def log_tail(self, lines=30):
        text = self.log.read_text(errors="replace") if self.log.exists() else ""
        return "\n".join(text.splitlines()[-lines:])

    # API

    def request(self, method, path, body=None, *, accept="application/json", driver=None, **more):
        driver = driver or self.driver
        return driver.ask(host=self.address, port=self.port, method=method,
                          path=f"/eureka{path}",
                          body=json.dumps(body) if body is not None else None,
                          headers={"Content-Type": "application/json", "Accept": accept}, **more)

    def must(self, method, path, body=None):
        """A request that succeeds; its answer, which says when it came."""
        answer = self.request(method, path, body)
        if answer["status"] not in (200, 204):
            raise ApiError(f"{method} {path}: {answer['status']} {answer['body']}")
        return answer

    def registration(self, app, id, address, *, vip=None, secure_vip=None, status="UP", port=8080,
                     lease=90, zone=None, host=None):
        return f"/apps/{app}", {"instance": {
            "instanceId": id, "hostName": host or f"{id}.example", "app": app, "ipAddr": address,
            "vipAddress": app.lower() if vip is None else vip,
            "secureVipAddress": app.lower() if secure_vip is None else secure_vip,
            "status": status, "port": {"$": port, "@enabled": "true"},
            "securePort": {"$": 443, "@enabled": "false"}, "dataCenterInfo": MY_OWN,
            "leaseInfo": {"renewalIntervalInSecs": 30, "durationInSecs": lease},
            "metadata": {"zone": zone} if zone else {"@class": "java.util.Collections$EmptyMap"}}}

    def register(self, *arguments, **more):
        return self.must("POST", *self.registration(*arguments, **more))

    def renew(self, app, id):
        return self.must("PUT", f"/apps/{app}/{id}")

    def set_status(self, app, id, status):
        return self.must("PUT", f"/apps/{app}/{id}/status?value={status}")

    def drop_status(self, app, id):
        return self.must("DELETE", f"/apps/{app}/{id}/status?value=UP")

    def deregister(self, app, id):
        return self.must("DELETE", f"/apps/{app}/{id}")

    def shows(self, text=None, *, lacks=None):
        """Waits until the server itself tells clients a change; the time at which it did."""
        answer = self.request("GET", "/apps", **({"until": text} if text else {"lacks": lacks}))
        if answer["status"] != 200:
            raise ApiError(answer["body"])
        return answer["at_ns"]


class Pulse:
    """Registers one instance again and again, for an Eureka whose registry changes all the time, as
    real ones do. A server that is otherwise at rest hides a change for minutes now and then: one that
    comes while a document is made for its cache is not in the document, which stays there for 180 s
    or until the next change."""

    def __init__(self, server, app, id, address, period=1.5):
        self.server, self.instance, self.period = server, (app, id, address), period
        self.beats, self.over = threading.Event(), threading.Event()
        self.beats.set()
        self.thread = threading.Thread(target=self._run)
        self.thread.start()

    def _run(self):
        driver = Driver(self.server.launch)
        while not self.over.wait(self.period):
            if self.beats.is_set():
                self.server.request("POST", *self.server.registration(*self.instance, lease=3600),
                                    driver=driver)
        driver.close()

    @contextlib.contextmanager
    def paused(self):
        self.beats.clear()
        try:
            yield
        finally:
            self.beats.set()

    def stop(self):
        self.over.set()
        self.thread.join()


# What a server answers, recorded

def record(directory):
    """Every shape that the documents of a server take."""
    directory = pathlib.Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    folder = tempfile.TemporaryDirectory()
    server = Server(folder.name, port=18761)

    def write(name, path, **more):
        answer = server.request("GET", path, **more)
        head = "".join(f"{key}: {value}\n" for key, value in answer["headers"])
        (directory / f"{name}.http").write_text(
            f"HTTP/1.1 {answer['status']}\n{head}\n{answer['body']}\n")

    try:
        server.start()
        write("empty", "/apps")
        server.register("ORDERS", "orders-1", "192.0.2.1", zone="eu-north-a")
        server.register("ORDERS", "orders-2", "192.0.2.2", vip="orders,Orders-V2")
        server.register("ORDERS", "orders-3", "2001:db8::3", status="STARTING")
        server.register("USER_API", "user-1", "192.0.2.9", zone="defaultZone")
        server.shows("user-1")
        write("apps", "/apps")
        server.set_status("ORDERS", "orders-1", "OUT_OF_SERVICE")
        server.deregister("ORDERS", "orders-2")
        server.shows(lacks="orders-2")
        write("delta", "/apps/delta")
        write("unknown-app", "/apps/NOPE")
        write("xml", "/apps", accept="*/*")
    finally:
        server.stop()
        server.driver.close()
        folder.cleanup()


def main(arguments):
    if arguments == ["fetch"]:
        print(jar())
    elif arguments == ["drive"]:
        drive()
    elif arguments[:1] == ["record"] and len(arguments) == 2:
        record(arguments[1])
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except debian.Unavailable as reason:
        sys.exit(f"eureka.py: {reason}")
