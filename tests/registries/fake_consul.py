# SPDX-License-Identifier: LGPL-2.1-or-later
"""A Consul that misbehaves as it is told: for what a real one does not do on demand. test_consul.py, which
runs against the real one, keeps its well-behaved half honest.

    fake_consul.py DIRECTORY [PORT]

The file DIRECTORY/mode says how to behave ("good ADDRESS..." or a function below, for health queries);
changing it ends the queries that are parked. Each request adds a line to DIRECTORY/requests.
"""
import gzip
import http.server
import json
import pathlib
import sys
import time

GIGABYTE = 1 << 30


def instance(address, name="orders", **service):
    return {"Node": {"Node": "n1", "Address": "192.0.2.250"},
            "Service": {"ID": f"{name}-{address}", "Service": name, "Address": address, "Port": 80,
                        "Tags": [], "Weights": {"Passing": 1, "Warning": 1}, **service},
            "Checks": []}


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    directory = None

    def log_message(self, *arguments):
        with open(self.directory / "requests", "a") as log:
            log.write(f"{self.path}\n")

    # State

    def mode(self):
        path = self.directory / "mode"
        # Even and above zero, whatever the clock; another one with every change.
        return path.stat().st_mtime_ns // 1000 % (1 << 40) + 2, path.read_text().split()

    def park(self, index):
        """Waits as a blocking query does until the mode is another than `index` was given for."""
        deadline = time.monotonic() + 60
        while self.mode()[0] == index and time.monotonic() < deadline:
            time.sleep(0.005)

    # Replies

    def reply(self, body, *, status=200, index=None, kind="application/json", headers=()):
        data = body if isinstance(body, bytes) else body.encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        if index is not None:
            self.send_header("X-Consul-Index", str(index))
        for name, value in headers:
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    def do_GET(self):
        path, _, query = self.path.partition("?")
        asked = dict(pair.partition("=")[::2] for pair in query.split("&"))
        if path.startswith("/v1/status/leader"):
            return self.reply('"127.0.0.1:8300"')
        if path.startswith("/v1/agent/self"):
            return self.reply(json.dumps({"Config": {"Datacenter": "dc1", "NodeName": "fake"}}))
        if asked.get("index", "0").isdigit():
            self.park(int(asked.get("index", "0")))
        index, words = self.mode()
        if path.startswith("/v1/catalog/services"):
            if words[0] == "good":
                return self.reply(json.dumps({"consul": [], "orders": []}), index=index)
            return getattr(self, f"be_{words[0]}")(index)
        if words[0] == "good":
            listed = [instance(a) for a in words[1:]] if "/orders" in path else []
            return self.reply(json.dumps(listed), index=index)
        return getattr(self, f"be_{words[0]}")(index)

    # Ways to misbehave

    def be_error(self, index):
        self.reply("rpc error: No cluster leader", status=500, kind="text/plain")

    def be_forbidden(self, index):
        self.reply("Permission denied", status=403, kind="text/plain")

    def be_throttled(self, index):
        self.reply("slow down", status=429, kind="text/plain", headers=[("Retry-After", "1")])

    def be_html(self, index):
        self.reply("<html><body>Please log in</body></html>", index=index, kind="text/html")

    def be_redirect(self, index):
        self.reply("", status=302, headers=[("Location", "http://127.0.0.1:8500/v1/elsewhere")])

    def be_truncated(self, index):
        self.reply(json.dumps([instance("192.0.2.66")])[:-20], index=index)

    def be_short(self, index):
        """Promises more bytes than it sends."""
        self.send_response(200)
        self.send_header("X-Consul-Index", str(index))
        self.send_header("Content-Length", "5000")
        self.end_headers()
        self.wfile.write(b"[")
        self.close_connection = True

    def be_null(self, index):
        self.reply("null", index=index)

    def be_object(self, index):
        self.reply('{"Node": 1}', index=index)

    def be_numbers(self, index):
        self.reply("[1, 2, 3]", index=index)

    def be_nested(self, index):
        self.reply("[" * 1000000, index=index)

    def be_types(self, index):
        self.reply(json.dumps([{"Node": 7, "Service": "x", "Checks": {}}]), index=index)

    def be_closed(self, index):
        self.close_connection = True

    def be_silent(self, index):
        self.park(index)
        self.close_connection = True

    def be_gigabyte(self, index):
        self.send_response(200)
        self.send_header("X-Consul-Index", str(index))
        self.send_header("Content-Length", str(GIGABYTE))
        self.end_headers()
        block = bytes(1 << 20)
        for _ in range(GIGABYTE // len(block)):
            self.wfile.write(block)

    def be_spaces(self, index):
        """A gigabyte that is valid JSON as far as one can see."""
        self.send_response(200)
        self.send_header("X-Consul-Index", str(index))
        self.end_headers()
        block = b"[" + b" " * ((1 << 20) - 1)
        for _ in range(GIGABYTE // len(block)):
            self.wfile.write(block)
            block = b" " * (1 << 20)
        self.close_connection = True

    def be_bomb(self, index):
        data = gzip.compress(b"[" + b" " * (256 << 20), 9)
        self.reply(data, index=index, headers=[("Content-Encoding", "gzip")])

    def be_headers(self, index):
        self.reply("[]", index=index, headers=[(f"X-Filler-{n}", "x" * 900) for n in range(2000)])

    def be_indexless(self, index):
        self.reply(json.dumps([instance("192.0.2.1")]))

    def be_zero(self, index):
        self.reply(json.dumps([instance("192.0.2.1")]), index=0)

    def be_backwards(self, index):
        self.reply(json.dumps([instance("192.0.2.1")]), index=1)

    def be_hugeindex(self, index):
        self.reply(json.dumps([instance("192.0.2.1")]), index="99999999999999999999999999")

    def be_addresses(self, index):
        """One good instance among many that no program must ever be sent to."""
        bad = ["0.0.0.0", "::", "224.0.0.1", "ff02::1", "fe80::1", "169.254.1.1", "255.255.255.255",
               "::ffff:0.0.0.0", "%s%n", "192.0.2.1\n192.0.2.2", "1.2.3", "1.2.3.4.5",
               "x" * 5000, "a..b", "-", "192.0.2.9\u0000", "\u202e", "fe80::1%eth0", "[::1]",
               "192.0.2.9/24"]
        ports = [{"Port": -1}, {"Port": 70000}, {"Port": "80"}, {"Port": 1e300}, {"Weights": 7},
                 {"Weights": {"Passing": -5}}, {"Tags": "x"}, {"Meta": []}]
        listed = [instance(address) for address in bad] + [instance("192.0.2.1")]
        listed += [instance("192.0.2.1", ID=f"odd{n}") | {"Checks": None} if not more else
                   instance("192.0.2.1", **more) for n, more in enumerate(ports)]
        self.reply(json.dumps(listed), index=index)


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request, client_address):
        """A client that hangs up is what some of these tests are about."""


if __name__ == "__main__":
    Handler.directory = pathlib.Path(sys.argv[1])
    port = int(sys.argv[2]) if len(sys.argv) > 2 else 8500
    server = Server(("127.0.0.1", port), Handler)
    (Handler.directory / "ready").touch()
    server.serve_forever()
