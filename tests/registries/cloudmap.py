# SPDX-License-Identifier: LGPL-2.1-or-later
"""A server of AWS Cloud Map's API for the tests: moto, in a virtual environment of its own.

Moto speaks the API and is not AWS: it checks no signature, knows no throttling, has no delay of
health, and its revision is a sum that may fall. Never touches a server that it did not start.

    cloudmap.py fetch    makes the virtual environment, prints its folder
"""
import fcntl
import json
import os
import pathlib
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(__file__))
import debian  # noqa: E402

PACKAGES = ["moto[server]==5.2.5", "boto3==1.44.5"]
REGION = "eu-north-1"


def fetch():
    """The folder of the virtual environment; raises debian.Unavailable."""
    name = "-".join(PACKAGES).replace("[server]", "").replace("==", "-")
    folder = debian.cache_directory() / name
    with open(f"{folder}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "complete").exists():
            _install(folder)
    return folder


def _install(folder):
    for command in (["/usr/bin/python3", "-m", "venv", "--clear", folder],
                    [folder / "bin/pip", "install", "--quiet", "--disable-pip-version-check",
                     *PACKAGES]):
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True)
        if done.returncode != 0:
            raise debian.Unavailable(f"moto cannot be installed: {done.stderr.strip()[-300:]}")
    (folder / "complete").touch()


# Runs inside of the virtual environment: one operation of boto3 a line of JSON, its answer a line.
_DRIVER = """
import json, sys, boto3, botocore.config
client = boto3.client("servicediscovery", region_name=sys.argv[2], endpoint_url=sys.argv[1],
                      aws_access_key_id="AKIDTEST", aws_secret_access_key="test",
                      config=botocore.config.Config(inject_host_prefix=False,
                                                    retries={"max_attempts": 0}))
for line in sys.stdin:
    name, arguments = json.loads(line)
    try:
        answer = {"answer": getattr(client, name)(**arguments)}
    except Exception as error:
        answer = {"error": str(error)}
    print(json.dumps(answer, default=str), flush=True)
"""


class Server:
    """One moto server. `launch` is put before its command line (a namespace to enter)."""

    def __init__(self, directory, launch=(), port=5000):
        self.url = f"http://127.0.0.1:{port}"
        self.port, self.launch, self.folder = port, list(launch), fetch()
        self.log = pathlib.Path(directory) / "moto.log"
        self.process = self.driver = None

    def start(self, timeout=60):
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                [*self.launch, self.folder / "bin/moto_server", "-H", "127.0.0.1", "-p",
                 str(self.port)], stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        deadline = time.monotonic() + timeout
        while not self._ready():
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"moto did not start:\n{self.log.read_text()[-2000:]}")
            time.sleep(0.05)
        if not self.driver:
            self.driver = subprocess.Popen(
                [*self.launch, self.folder / "bin/python", "-c", _DRIVER, self.url, REGION],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        return self

    def _ready(self):
        return subprocess.run(
            [*self.launch, self.folder / "bin/python", "-c",
             f"import socket; socket.create_connection(('127.0.0.1', {self.port}), 1)"],
            capture_output=True).returncode == 0

    def stop(self):
        """Ends the server: what it knew is gone."""
        if self.process:
            self.process.kill()
            self.process.wait()
        self.process = None

    def close(self):
        self.stop()
        if self.driver:
            self.driver.stdin.close()
            self.driver.wait()
            self.driver.stdout.close()

    # API

    def call(self, operation, **arguments):
        self.driver.stdin.write(json.dumps([operation, arguments]) + "\n")
        self.driver.stdin.flush()
        answer = json.loads(self.driver.stdout.readline())
        if "error" in answer:
            raise RuntimeError(f"{operation}: {answer['error']}")
        return answer["answer"]

    def make_namespace(self, name, private=False):
        if private:
            self.call("create_private_dns_namespace", Name=name, Vpc="vpc-1")
        else:
            self.call("create_http_namespace", Name=name)
        return next(item["Id"] for item in self.call("list_namespaces")["Namespaces"]
                    if item["Name"] == name)

    def make_service(self, namespace, name):
        return self.call("create_service", Name=name, NamespaceId=namespace,
                         HealthCheckCustomConfig={"FailureThreshold": 1})["Service"]["Id"]

    def delete_service(self, service):
        self.call("delete_service", Id=service)

    def register(self, service, instance, address=None, **attributes):
        if address:
            key = "AWS_INSTANCE_IPV6" if ":" in address else "AWS_INSTANCE_IPV4"
            attributes = {key: address, "AWS_INSTANCE_PORT": "8080", **attributes}
        self.call("register_instance", ServiceId=service, InstanceId=instance,
                  Attributes=attributes)

    def deregister(self, service, instance):
        self.call("deregister_instance", ServiceId=service, InstanceId=instance)

    def set_health(self, service, instance, healthy):
        self.call("update_instance_custom_health_status", ServiceId=service, InstanceId=instance,
                  Status="HEALTHY" if healthy else "UNHEALTHY")


if __name__ == "__main__":
    if sys.argv[1:] != ["fetch"]:
        sys.exit(__doc__)
    try:
        print(fetch())
    except debian.Unavailable as reason:
        sys.exit(f"cloudmap.py: {reason}")
