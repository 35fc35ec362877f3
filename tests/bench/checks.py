#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""What 500 health checks at intervals of one second cost: the daemon's processor time over the time that passed,
beside the budget of 5 % of a core (the server's is not counted). Makes a network namespace of its own. Fails when
a check did not run or was not well, and at ten times the budget: not on noise."""
import asyncio
import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request

BUILD = pathlib.Path(os.environ.get("NSS_SD_BUILD", "."))
CHECKS, SECONDS, BUDGET = 500, 10, 5.0
PORT = 8080
RESPONSE = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Type: text/plain\r\nConnection: close\r\n\r\nok\n"


class Answer(asyncio.Protocol):
    """Well, whatever it is asked, or, at /count, how many connections there were; one that asks nothing is held
    until it ends."""
    count = 0

    def connection_made(self, transport):
        Answer.count += 1
        self.transport = transport

    def data_received(self, data):
        if data.endswith(b"\r\n\r\n"):
            self.transport.write(b"HTTP/1.0 200 OK\r\n\r\n%d" % Answer.count if data.startswith(b"GET /count ")
                                 else RESPONSE)
            self.transport.close()


def connections():
    with urllib.request.urlopen(f"http://127.0.0.1:{PORT}/count") as reply:
        return int(reply.read())


async def serve():
    server = await asyncio.get_running_loop().create_server(Answer, "127.0.0.1", PORT, backlog=1024)
    print("ready", flush=True)
    await server.serve_forever()


def cpu_seconds(pid):
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def details(work):
    done = subprocess.run([BUILD / "sdctl", "--runtime-directory", work / "run", "status", "--json"],
                          capture_output=True, text=True, timeout=30, check=True)
    return json.loads(done.stdout)["registries"][0]["details"]


def settle(work, checks):
    deadline = time.monotonic() + 60
    while details(work)["ChecksPassing"] != checks:
        assert time.monotonic() < deadline, details(work)
        time.sleep(0.2)


def measure(kind, check):
    """Percent of a core that the daemon takes; `check`: NULL for none."""
    with tempfile.TemporaryDirectory(prefix="nss-sd-bench-") as directory:
        work = pathlib.Path(directory)
        for name in ("config/registries.d", "config/local.d", "state", "run"):
            (work / name).mkdir(parents=True)
        (work / "config/registries.d/local.registry").write_text("[Registry]\nType=local\n")
        (work / "config/local.d/many.json").write_text(json.dumps({"services": [
            {"name": f"s{i // 10}", "id": f"i{i}", "address": f"192.0.2.{i % 250 + 1}",
             **({"check": check | {"interval": "1s"}} if check else {})} for i in range(CHECKS)]}))
        with open(work / "log", "w", encoding="utf-8") as log, subprocess.Popen(
                [BUILD / "nss-sdd", "--config-directory", work / "config", "--runtime-directory", work / "run",
                 "--state-directory", work / "state"], stdin=subprocess.DEVNULL, stderr=log) as daemon:
            try:
                while not (work / "run/control").exists():
                    time.sleep(0.05)
                settle(work, CHECKS if check else 0)
                time.sleep(1)
                began, before, runs = time.monotonic(), cpu_seconds(daemon.pid), connections()
                time.sleep(SECONDS)
                passed = time.monotonic() - began
                share = (cpu_seconds(daemon.pid) - before) / passed * 100
                pace = (connections() - runs - 1) / passed
                facts = details(work)
            finally:
                daemon.send_signal(signal.SIGTERM)
        assert facts["ChecksPassing"] == (CHECKS if check else 0), facts
        late = facts["ChecksLate"]
        print(f"{CHECKS if check else 'no':>4} {kind:<5} {share:5.2f} % of a core"
              + (f"  (budget {BUDGET:.0f} %)" if check else "") + (f"  {pace:.0f} runs/s" if pace else "")
              + (f"  {late} late" if late else ""), flush=True)
        assert late or kind not in ("tcp", "http") or pace > 0.95 * CHECKS, "checks ran less often than they should"
        return share


def main():
    if sys.argv[1:] == ["--serve"]:
        asyncio.run(serve())
        return
    if sys.argv[1:] != ["--inside"]:
        user = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
        os.execvp("unshare", ["unshare", *user, "--net", "--", sys.executable, __file__, "--inside"])
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    print(f"{CHECKS} health checks at intervals of 1 s: the daemon's processor time")
    with subprocess.Popen([sys.executable, __file__, "--serve"], stdout=subprocess.PIPE) as server:
        try:
            server.stdout.readline()
            measure("check", None)
            shares = [measure("tcp", {"tcp": f"127.0.0.1:{PORT}"}),
                      measure("http", {"http": f"http://127.0.0.1:{PORT}/readyz"}),
                      measure("ttl", {"ttl": "1h", "status": "passing"})]
        finally:
            server.kill()
    sys.exit(max(shares) > 10 * BUDGET)


main()
