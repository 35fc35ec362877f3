# SPDX-License-Identifier: LGPL-2.1-or-later
"""The instance metadata service of a cloud, as its documentation describes it: no cloud is at hand in tests.

    fake_metadata.py CLOUD LOG        CLOUD: ec2, google, azure

Listens at 169.254.169.254:80 and refuses, as the real ones do, whoever does not ask in the right way (no
session token, no header, a proxy in between). Each request adds a line "METHOD PATH STATUS" to the file LOG.
"""
import http.server
import socketserver
import sys
import urllib.parse

TOKEN = "AQAEAK0-fake-token=="
EC2 = {"/latest/meta-data/placement/region": "eu-north-1",
       "/latest/meta-data/placement/availability-zone": "eu-north-1b"}
AZURE = {"/metadata/instance/compute/location": "westeurope",
         "/metadata/instance/compute/zone": "3"}
GOOGLE = {"/computeMetadata/v1/instance/zone": "projects/123456789012/zones/europe-west1-d"}


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    cloud = log = None

    def log_message(self, *arguments):
        pass

    def reply(self, status, text="", headers=()):
        with open(self.log, "a") as log:
            log.write(f"{self.command} {self.path} {status}\n")
        self.send_response(status)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Content-Length", str(len(text)))
        for name, value in headers:
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(text.encode())

    def look_up(self, paths, headers=()):
        path = urllib.parse.urlsplit(self.path).path
        if "X-Forwarded-For" in self.headers:
            return self.reply(403)
        return self.reply(200, paths[path], headers) if path in paths else self.reply(404, "none")

    def do_PUT(self):
        seconds = self.headers.get("X-aws-ec2-metadata-token-ttl-seconds", "")
        if self.cloud != "ec2" or self.path != "/latest/api/token":
            return self.reply(405)
        if not seconds.isdigit() or not 1 <= int(seconds) <= 21600:
            return self.reply(400)
        return self.reply(200, TOKEN)

    def do_GET(self):
        if self.cloud == "ec2":
            if self.headers.get("X-aws-ec2-metadata-token") != TOKEN:
                return self.reply(401)
            return self.look_up(EC2)
        if self.cloud == "google":
            if self.headers.get("Metadata-Flavor") != "Google":
                return self.reply(403)
            return self.look_up(GOOGLE, [("Metadata-Flavor", "Google")])
        query = urllib.parse.parse_qs(urllib.parse.urlsplit(self.path).query)
        if self.headers.get("Metadata") != "true" or query.get("format") != ["text"] or \
                "api-version" not in query:
            return self.reply(400)
        return self.look_up(AZURE)


class Server(http.server.ThreadingHTTPServer):
    def server_bind(self):
        # Without looking up its own name, which may come to load the module under test.
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = self.server_address


if __name__ == "__main__":
    Handler.cloud, Handler.log = sys.argv[1:]
    server = Server(("169.254.169.254", 80), Handler)
    print("ready", flush=True)
    server.serve_forever()
