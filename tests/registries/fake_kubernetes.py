# SPDX-License-Identifier: LGPL-2.1-or-later
"""A Kubernetes API that behaves as it is told: for what the real server of these tests is too old for, or
does not do on demand. test_kubernetes_fake.py holds its answers against recordings of the real one.

    fake_kubernetes.py PORT [DIRECTORY]    on 127.0.0.1; with DIRECTORY, TLS by its server.crt and .key

Objects are written as to a real server. Besides, GET /control tells the requests of nss-sd so far, and POST
/control {"set": {...}} changes the behaviour (BEHAVIOUR below), {"do": "WORD"} does one of the actions
(Store.do_*), {"fill": [SERVICES, ENDPOINTS]} makes a large cluster.
"""
import gzip
import http.server
import json
import pathlib
import ssl
import sys
import threading
import time
import urllib.parse
import uuid

BEHAVIOUR = {
    "versions": ["v1", "v1beta1"],  # of discovery.k8s.io; []: the group does not exist
    "watch_list": True,             # watches may begin with the objects there are
    "tokens": None,                 # the good ones; None: any
    "denied": [],                   # tokens that may do nothing
    "forbidden": [],                # paths that begin so are refused
    "throttle": 0,                  # so many requests get 429
    "broken": 0,                    # so many requests get 500, by a proxy that speaks HTML
    "gone": "event",                # how a watch of a forgotten version ends: "event" or "status"
    "whole_lists": True,            # no: a list that is not asked in pages breaks off
    "mute": False,                  # watches stay open and tell nothing
    "nulls": False,                 # empty arrays are null
    "gzip": True,                   # lists, to whom asks for it
    "gzip_watches": False,          # also watches, one gzip member a flush
    "bookmark_seconds": 60,
    "expired_pages": 0,             # so many continued lists are 410
}
SLICES = "endpointslices"
KINDS = {"services": "Service", SLICES: "EndpointSlice", "endpoints": "Endpoints",
         "namespaces": "Namespace", "nodes": "Node"}
SERVICE_LABEL = "kubernetes.io/service-name"


def encode(value):
    return json.dumps(value, separators=(",", ":")).encode()


def status_body(code, reason, message, **more):
    return {"kind": "Status", "apiVersion": "v1", "metadata": more.pop("metadata", {}),
            "status": "Failure", "message": message, "reason": reason, **more, "code": code}


def expired(message):
    return status_body(410, "Expired", message)


class Refusal(Exception):
    def __init__(self, code, reason, message, headers=(), **more):
        super().__init__(message)
        self.code, self.headers = code, headers
        self.body = status_body(code, reason, message, **more)


def selected(item, selector):
    """Does a label selector of the forms a=b, a!=b, a in (b,c), a notin (b,c), a, !a choose it?"""
    labels = item["metadata"].get("labels") or {}
    depth, part, parts = 0, "", []
    for letter in selector + ",":
        if letter == "," and depth == 0:
            parts.append(part.strip())
            part = ""
        else:
            depth += {"(": 1, ")": -1}.get(letter, 0)
            part += letter
    return all(_chosen(labels, part) for part in parts if part)


def _chosen(labels, part):
    key, word, values = part.partition(" notin ")
    if not word:
        key, word, values = part.partition(" in ")
    if word:
        within = labels.get(key.strip()) in [v.strip() for v in values.strip().strip("()").split(",")]
        return within == (word == " in ")
    if "!=" in part:
        key, _, value = part.partition("!=")
        return labels.get(key) != value
    key, equals, value = part.replace("==", "=").partition("=")
    if equals:
        return labels.get(key) == value
    return (key[1:] not in labels) if key.startswith("!") else key in labels


class Scope:
    """What a request asks for: a resource, of a namespace or all, under selectors."""

    def __init__(self, resource, namespace, asked):
        self.resource, self.namespace = resource, namespace
        self.labels = asked.get("labelSelector", "")
        fields = dict(part.split("=", 1) for part in
                      asked.get("fieldSelector", "").replace("==", "=").split(",") if part)
        if set(fields) - {"metadata.name", "metadata.namespace"}:
            raise Refusal(400, "BadRequest", f"{', '.join(fields)}: not a known field selector")
        self.name = fields.get("metadata.name")

    def holds(self, item):
        metadata = item["metadata"]
        return ((not self.namespace or metadata.get("namespace") == self.namespace) and
                (not self.name or metadata["name"] == self.name) and selected(item, self.labels))


class Store:
    """The objects, and what happened to them, in versions."""

    def __init__(self):
        self.changed = threading.Condition()
        self.set = dict(BEHAVIOUR)
        self.clear()
        self.requests, self.compressed = [], []
        self.cuts = 0

    def clear(self):
        self.version, self.forgotten = 1, 0
        self.items = {resource: {} for resource in KINDS}
        # Of each resource: (version, item before or None, item after or None).
        self.history = {resource: [] for resource in KINDS}
        # Its uid is what tells one cluster from another.
        self.put("namespaces", {"kind": "Namespace", "apiVersion": "v1",
                                "metadata": {"name": "kube-system"}})

    # Actions

    def do_clear(self):
        self.clear()

    def do_cut(self):
        """Ends every watch in the middle."""
        self.cuts += 1

    def do_forget(self):
        """Drops every version but the present ones, as a compaction and a restart do."""
        self.forgotten = self.version
        self.do_cut()

    def do_swap(self):
        """Becomes another cluster, with nothing in it."""
        self.clear()
        self.do_cut()

    # Writing; `changed` is held

    def put(self, resource, item):
        metadata = item["metadata"]
        key = (metadata.get("namespace"), metadata["name"])
        before = self.items[resource].get(key)
        self.version += 1
        metadata["resourceVersion"] = str(self.version)
        metadata.setdefault("uid", str(uuid.uuid4()))
        metadata.setdefault("creationTimestamp", "2026-01-01T00:00:00Z")
        self.items[resource][key] = item
        self.history[resource].append((self.version, before, item))
        self._after(resource, item)
        return item

    def remove(self, resource, key):
        before = self.items[resource].pop(key)
        self.version += 1
        last = before | {"metadata": before["metadata"] | {"resourceVersion": str(self.version)}}
        self.history[resource].append((self.version, last, None))
        self._after(resource, last)
        return last

    def _after(self, resource, item):
        if resource == SLICES and not self.set["versions"]:
            self._mirror(item)

    def _mirror(self, item):
        """Keeps the Endpoints of a service in step with its slices, as their controller does."""
        place = item["metadata"]["namespace"]
        name = (item["metadata"].get("labels") or {}).get(SERVICE_LABEL)
        subsets = []
        for (other, _), one in self.items[SLICES].items():
            if other != place or one["metadata"]["labels"].get(SERVICE_LABEL) != name:
                continue
            subset = {"ports": one.get("ports") or []}
            for end in one.get("endpoints") or []:
                ready = end["conditions"].get("ready", True)
                words = {"ip": end["addresses"][0], "hostname": end.get("hostname"),
                         "nodeName": end.get("nodeName"), "targetRef": end.get("targetRef")}
                subset.setdefault("addresses" if ready else "notReadyAddresses", []).append(
                    {key: value for key, value in words.items() if value})
            if len(subset) > 1:
                subsets.append(subset)
        old = self.items["endpoints"].get((place, name), {"metadata": {}})
        metadata = {"name": name, "namespace": place,
                    **({"uid": old["metadata"]["uid"]} if old["metadata"] else {})}
        self.put("endpoints", {"kind": "Endpoints", "apiVersion": "v1", "metadata": metadata,
                               "subsets": subsets})

    def fill(self, services, endpoints):
        """A large cluster: headless services with equally many pods, a hundred of them a slice."""
        each = endpoints // services
        for n in range(services):
            place, name = f"ns{n % 100}", f"svc{n}"
            self.put("services", {
                "kind": "Service", "apiVersion": "v1",
                "metadata": {"name": name, "namespace": place, "labels": {"app": name},
                             "managedFields": [{"manager": "fake", "fieldsV1": {"f:spec": {}}}]},
                "spec": {"clusterIP": "None", "type": "ClusterIP", "sessionAffinity": "None",
                         "selector": {"app": name},
                         "ports": [{"name": "http", "port": 80, "protocol": "TCP",
                                    "targetPort": 8080}]}})
            for start in range(0, each, 100):
                self.put(SLICES, filled_slice(place, name, n, start, min(each, start + 100)))


def filled_slice(place, name, n, start, end):
    def pod(i):
        number = n * 1000 + i
        return {"addresses": [f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"],
                "conditions": {"ready": True, "serving": True, "terminating": False},
                "nodeName": f"node-{number % 500}", "zone": f"zone-{number % 3}",
                "targetRef": {"kind": "Pod", "name": f"{name}-6d4cf56db6-{i:05}", "namespace": place,
                              "uid": "00000000-0000-0000-0000-000000000000"}}

    return {"kind": "EndpointSlice", "apiVersion": "discovery.k8s.io/v1",
            "metadata": {"name": f"{name}-{start:05}", "namespace": place,
                         "labels": {SERVICE_LABEL: name, "app": name,
                                    "service.kubernetes.io/headless": ""}},
            "addressType": "IPv4", "endpoints": [pod(i) for i in range(start, end)],
            "ports": [{"name": "http", "port": 8080, "protocol": "TCP"}]}


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    store = None
    disable_nagle_algorithm = True
    wbufsize = 1 << 16

    def log_message(self, *arguments):
        """Requests are counted in the store."""

    # Replies

    def reply(self, code, body, headers=(), kind="application/json"):
        data = body if isinstance(body, bytes) else encode(body)
        self.send_response(code)
        self.send_header("Content-Type", kind)
        for name, value in headers:
            self.send_header(name, value)
        if (len(data) > 128 << 10 and self.store.set["gzip"] and
                "gzip" in self.headers.get("Accept-Encoding", "")):
            data = gzip.compress(data, 1)
            self.send_header("Content-Encoding", "gzip")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)
        self.wfile.flush()

    def handle_method(self):
        store = self.store
        size = int(self.headers.get("Content-Length") or 0)
        body = json.loads(self.rfile.read(size)) if size else None
        path, _, query = self.path.partition("?")
        asked = dict(urllib.parse.parse_qsl(query, keep_blank_values=True))
        try:
            if path == "/control":
                return self.control(body)
            if path in ("/readyz", "/healthz"):
                return self.reply(200, b"ok", kind="text/plain; charset=utf-8")
            # What the test itself writes is neither counted nor refused.
            if self.command == "GET" and self.headers.get("User-Agent", "").startswith("nss-sd"):
                with store.changed:
                    store.requests.append(self.path)
                    if self.headers.get("Accept-Encoding"):
                        store.compressed.append(self.path)
                self.refuse_as_told(path)
            self.check_token()
            self.serve(path, asked, body)
        except Refusal as refusal:
            self.reply(refusal.code, refusal.body, refusal.headers)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = handle_method

    def control(self, body):
        store = self.store
        with store.changed:
            if body:
                store.set.update(body.get("set", {}))
                if "do" in body:
                    getattr(store, f"do_{body['do']}")()
                if "fill" in body:
                    store.fill(*body["fill"])
                store.changed.notify_all()
            self.reply(200, {"requests": store.requests, "compressed": store.compressed,
                             "version": store.version})

    def refuse_as_told(self, path):
        behaviour = self.store.set
        if behaviour["throttle"] > 0:
            behaviour["throttle"] -= 1
            self.reply(429, b"Too many requests, please try again later.\n",
                       [("Retry-After", "1"), ("X-Content-Type-Options", "nosniff")],
                       "text/plain; charset=utf-8")
            raise Done
        if behaviour["broken"] > 0:
            behaviour["broken"] -= 1
            self.reply(500, b"<html><body>Bad day</body></html>", kind="text/html")
            raise Done
        for start in behaviour["forbidden"]:
            if path.startswith(start):
                raise Refusal(403, "Forbidden", f'"{path}" is forbidden: told to')

    def check_token(self):
        tokens = self.store.set["tokens"]
        given = self.headers.get("Authorization", "").removeprefix("Bearer ")
        if tokens is not None and given not in tokens:
            raise Refusal(401, "Unauthorized", "Unauthorized")
        if given in self.store.set["denied"]:
            raise Refusal(403, "Forbidden", f'"{self.path}" is forbidden: told to')

    # Paths

    def serve(self, path, asked, body):
        words = path.strip("/").split("/")
        if words == ["version"]:
            return self.reply(200, {"major": "1", "minor": "34", "gitVersion": "v1.34.0"})
        if words == ["apis", "discovery.k8s.io"] and self.store.set["versions"]:
            versions = [{"groupVersion": f"discovery.k8s.io/{v}", "version": v}
                        for v in self.store.set["versions"]]
            return self.reply(200, {"kind": "APIGroup", "apiVersion": "v1",
                                    "name": "discovery.k8s.io", "versions": versions,
                                    "preferredVersion": versions[0]})
        if words[:2] == ["api", "v1"]:
            rest, known, self.group = words[2:], set(KINDS) - {SLICES}, "v1"
        elif words[:2] == ["apis", "discovery.k8s.io"] and words[2:3] and (
                words[2] in self.store.set["versions"]):
            rest, known, self.group = words[3:], {SLICES}, "/".join(words[1:3])
        elif words[:3] == ["apis", "discovery.k8s.io", "v1"] and self.command != "GET":
            # Slices are written even where they are not served: Endpoints are made from them.
            rest, known, self.group = words[3:], {SLICES}, "discovery.k8s.io/v1"
        else:
            raise not_found()
        namespace = None
        if rest[:1] == ["namespaces"] and len(rest) > 2:
            namespace, rest = rest[1], rest[2:]
        if not rest or rest[0] not in known:
            raise not_found()
        scope = Scope(rest[0], namespace, asked)
        if self.command != "GET":
            return self.write(scope, rest[1:], body)
        if len(rest) > 1:
            return self.reply(200, self.spoken(self.find(scope, rest[1])))
        if asked.get("watch") in ("1", "true"):
            return self.watch(scope, asked)
        return self.list(scope, asked)

    def find(self, scope, name):
        item = self.store.items[scope.resource].get((scope.namespace, name))
        if item is None:
            raise Refusal(404, "NotFound", f'{scope.resource} "{name}" not found',
                          details={"name": name, "kind": scope.resource})
        return item

    # Writing

    def write(self, scope, names, body):
        store = self.store
        with store.changed:
            store.changed.notify_all()
            if self.command == "DELETE":
                self.find(scope, names[0])
                self.reply(200, self.spoken(store.remove(scope.resource,
                                                         (scope.namespace, names[0]))))
                return
            if self.command == "PATCH":
                body = merged(self.find(scope, names[0]), body)
            elif self.command == "PUT":
                old = self.find(scope, names[0])["metadata"]
                body["metadata"] |= {key: old[key] for key in ("uid", "creationTimestamp")}
            elif (scope.namespace, body["metadata"]["name"]) in store.items[scope.resource]:
                raise Refusal(409, "AlreadyExists", "already exists")
            self.reply(201 if self.command == "POST" else 200,
                       self.spoken(store.put(scope.resource, body)))

    # Reading

    def spoken(self, item):
        """An object as this server's version of the API has it."""
        item = item | {"apiVersion": self.group}
        if self.group.endswith("v1beta1"):
            item["endpoints"] = [as_beta(one) for one in item.get("endpoints") or []]
        if self.store.set["nulls"]:
            item = {key: None if value == [] else value for key, value in item.items()}
        return item

    def list(self, scope, asked):
        store, behaviour = self.store, self.store.set
        asked_version = asked.get("resourceVersion", "")
        with store.changed:
            if asked_version.isdigit() and int(asked_version) > store.version:
                raise Refusal(504, "Timeout", "Timeout: Too large resource version: "
                              f"{asked_version}, current: {store.version}", [("Retry-After", "1")],
                              details={"causes": [{"reason": "ResourceVersionTooLarge",
                                                   "message": "Too large resource version"}],
                                       "retryAfterSeconds": 1})
            if behaviour["expired_pages"] > 0 and "continue" in asked:
                behaviour["expired_pages"] -= 1
                gone = expired("The provided continue parameter is too old to display a consistent "
                               "list result.")
                raise Refusal(410, "Expired", gone["message"], metadata={"continue": "later"})
            items = [one for one in store.items[scope.resource].values() if scope.holds(one)]
            version = store.version
        metadata = {"resourceVersion": str(version)}
        # The watch cache, which answers for "0", knows of no pages.
        limit = int(asked.get("limit", 0)) if asked_version != "0" else 0
        if not behaviour["whole_lists"] and not limit:
            return self.list_in_part()
        if limit:
            begin = int(asked.get("continue") or 0)
            page = items[begin:begin + limit]
            if begin + limit < len(items):
                metadata |= {"continue": str(begin + limit),
                             "remainingItemCount": len(items) - begin - limit}
            items = page
        # Items of a list do not tell what they are.
        items = [{key: value for key, value in self.spoken(one).items()
                  if key not in ("kind", "apiVersion")} for one in items]
        self.reply(200, {"kind": f"{KINDS[scope.resource].removesuffix('s')}List"
                         if scope.resource != "endpoints" else "EndpointsList",
                         "apiVersion": self.group, "metadata": metadata,
                         "items": items or (None if behaviour["nulls"] else [])})

    def list_in_part(self):
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(1 << 30))
        self.end_headers()
        self.wfile.write(b'{"kind":"List","items":[')
        self.wfile.flush()
        self.close_connection = True

    # Watching

    def watch(self, scope, asked):
        store, behaviour = self.store, self.store.set
        initial = asked.get("sendInitialEvents") == "true"
        if (initial or "resourceVersionMatch" in asked) and not behaviour["watch_list"]:
            causes = [{"reason": "FieldValueForbidden", "field": "resourceVersionMatch",
                       "message": f"Forbidden: resourceVersionMatch is forbidden {why}"}
                      for why in ("for watch", "unless resourceVersion is provided")]
            raise Refusal(422, "Invalid", "ListOptions.meta.k8s.io is invalid",
                          details={"causes": causes[:1 if "resourceVersion" in asked else 2]})
        version = int(asked.get("resourceVersion") or 0)
        if not initial and version < store.forgotten and behaviour["gone"] == "status":
            raise Refusal(410, "Expired", f"too old resource version: {version}")
        stream = Stream(self, behaviour["gzip_watches"] and
                        "gzip" in self.headers.get("Accept-Encoding", ""))
        if not initial and version < store.forgotten:
            message = f"too old resource version: {version} ({store.forgotten})"
            stream.event("ERROR", expired(message))
            return stream.end()
        with store.changed:
            if initial:
                items = [one for one in store.items[scope.resource].values() if scope.holds(one)]
                version = store.version
            at, cuts = len(store.history[scope.resource]), store.cuts
            if not initial:
                events = store.history[scope.resource]
                while at > 0 and events[at - 1][0] > version:
                    at -= 1
        if initial:
            for item in items:
                stream.event("ADDED", self.spoken(item), flush=False)
            stream.event("BOOKMARK", self.bookmark(scope, version, {"k8s.io/initial-events-end":
                                                                    "true"}))
        self.follow(stream, scope, at, cuts, float(asked.get("timeoutSeconds", 1800)),
                    asked.get("allowWatchBookmarks") in ("1", "true"))

    def follow(self, stream, scope, at, cuts, seconds, bookmarks):
        store = self.store
        events = store.history[scope.resource]
        end = time.monotonic() + seconds
        marked = time.monotonic()
        while True:
            with store.changed:
                due = marked + store.set["bookmark_seconds"] if bookmarks else end
                store.changed.wait_for(
                    lambda: store.cuts != cuts or
                    (len(events) > at and not store.set["mute"]),
                    min(end, due) - time.monotonic())
                if store.cuts != cuts:
                    self.close_connection = True
                    return
                new = events[at:] if not store.set["mute"] else []
                mute, version = store.set["mute"], store.version
            at += len(new)
            for event in new:
                self.tell(stream, scope, *event)
            if mute:
                # A peer that died: not even an end.
                time.sleep(0.02)
                marked = time.monotonic()
                continue
            stream.flush()
            if time.monotonic() >= end:
                return stream.end()
            if time.monotonic() >= due:
                marked = time.monotonic()
                stream.event("BOOKMARK", self.bookmark(scope, version))

    def tell(self, stream, scope, version, before, after):
        was = before is not None and scope.holds(before)
        now = after is not None and scope.holds(after)
        if now:
            stream.event("MODIFIED" if was else "ADDED", self.spoken(after), flush=False)
        elif was:
            last = before | {"metadata": before["metadata"] | {"resourceVersion": str(version)}}
            stream.event("DELETED", self.spoken(last), flush=False)

    def bookmark(self, scope, version, annotations=None):
        metadata = {"resourceVersion": str(version), "creationTimestamp": None}
        if annotations:
            metadata["annotations"] = annotations
        made = {"kind": KINDS[scope.resource], "apiVersion": self.group, "metadata": metadata}
        return made | ({"addressType": "", "endpoints": None, "ports": None}
                       if scope.resource == SLICES else {})


class Done(Exception):
    """The reply is on its way."""


class Stream:
    """The body of a watch: an event a line, in chunks."""

    def __init__(self, handler, compressed):
        self.file, self.compressed, self.waiting = handler.wfile, compressed, []
        handler.send_response(200)
        handler.send_header("Content-Type", "application/json")
        handler.send_header("Transfer-Encoding", "chunked")
        if compressed:
            handler.send_header("Content-Encoding", "gzip")
        handler.end_headers()
        self.file.flush()

    def event(self, kind, item, flush=True):
        self.waiting.append(encode({"type": kind, "object": item}) + b"\n")
        if flush:
            self.flush()

    def flush(self):
        data = b"".join(self.waiting)
        self.waiting.clear()
        if data:
            data = gzip.compress(data) if self.compressed else data
            self.file.write(b"%x\r\n%b\r\n" % (len(data), data))
            self.file.flush()

    def end(self):
        self.flush()
        self.file.write(b"0\r\n\r\n")
        self.file.flush()


def not_found():
    return Refusal(404, "NotFound", "the server could not find the requested resource", details={})


def as_beta(endpoint):
    endpoint = dict(endpoint)
    zone = endpoint.pop("zone", None)
    endpoint.pop("hints", None)
    return endpoint | ({"topology": {"topology.kubernetes.io/zone": zone}} if zone else {})


def merged(item, change):
    """RFC 7386."""
    if not isinstance(change, dict):
        return change
    result = dict(item) if isinstance(item, dict) else {}
    for key, value in change.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = merged(result.get(key), value)
    return result


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128
    tls = None

    def finish_request(self, request, client_address):
        if self.tls:
            request = self.tls.wrap_socket(request, server_side=True)
        super().finish_request(request, client_address)

    def handle_error(self, request, client_address):
        """A client that hangs up is what some of these tests are about."""
        error = sys.exc_info()[1]
        if not isinstance(error, (OSError, Done)):
            super().handle_error(request, client_address)


def main(arguments):
    if not 1 <= len(arguments) <= 2:
        sys.exit(__doc__)
    Handler.store = Store()
    server = Server(("127.0.0.1", int(arguments[0])), Handler)
    if len(arguments) > 1:
        directory = pathlib.Path(arguments[1])
        server.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        server.tls.load_cert_chain(directory / "server.crt", directory / "server.key")
    print("ready", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main(sys.argv[1:])
