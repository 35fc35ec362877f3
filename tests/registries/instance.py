# SPDX-License-Identifier: LGPL-2.1-or-later
"""An instance of a service, as a check meets it.

    instance.py STATE ADDRESS PORT

Answers GET /readyz as the file STATE says: a status ("200", "503"), "hang" (the head never comes), "cut" (the
connection is closed at once). Other paths are 404. Each request adds a line to the file STATE.requests.
"""
import http.server
import pathlib
import socketserver
import sys
import threading


class Handler(http.server.BaseHTTPRequestHandler):
    state = None

    def log_message(self, *arguments):
        pass

    def do_GET(self):
        with open(f"{self.state}.requests", "a") as log:
            log.write(f"{self.path}\n")
        state = self.state.read_text().strip()
        if state == "hang":
            threading.Event().wait(60)
        if state == "cut":
            return
        self.send_response(int(state) if self.path == "/readyz" else 404)
        self.send_header("Content-Length", "0")
        self.end_headers()


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def server_bind(self):
        # Without looking up its own name, which may come to load the module under test.
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = self.server_address


if __name__ == "__main__":
    Handler.state = pathlib.Path(sys.argv[1])
    server = Server((sys.argv[2], int(sys.argv[3])), Handler)
    print("ready", flush=True)
    server.serve_forever()
