# SPDX-License-Identifier: LGPL-2.1-or-later
"""Recordings of what a kube-apiserver answers, for stories to replay and to hold the fake against.

    kubernetes_record.py DIRECTORY     starts a real server and writes DIRECTORY/*.http
"""
import json
import os
import pathlib
import sys
import tempfile

sys.path.insert(0, os.path.dirname(__file__))
import debian  # noqa: E402
import kubernetes  # noqa: E402
from kubernetes import endpoint, endpoint_slice, headless, service  # noqa: E402

PLACE = "shop"
# What every server says differently, and what says nothing.
HEADERS = ("content-type", "retry-after")
EXACT = ("kind", "apiVersion", "reason", "status", "code", "type", "addressType", "name", "namespace",
         "protocol", "port", "clusterIP", "hostname", "retryAfterSeconds")


def record(api, forget):
    """Yields (name, status, headers, body) of one request after the other. `forget`: drops the
    history of the server."""
    def ask(name, path, **options):
        reply = api.send("GET", path, **options)
        return name, reply.status, reply.getheaders(), reply.read().decode()

    slices = f"/apis/discovery.k8s.io/v1beta1/namespaces/{PLACE}/endpointslices"
    services = f"/api/v1/namespaces/{PLACE}/services"
    api.create(kubernetes.namespace(PLACE))
    began = api.get(services)["metadata"]["resourceVersion"]
    api.create(service("cart", PLACE, "10.96.0.50", labels={"color": "red"}),
               headless("db", PLACE, labels={"color": "red"}),
               service("gone", PLACE, "10.96.0.51"),
               endpoint_slice("db-x1", PLACE, "db", endpoint("10.1.0.5", "db-0", pod="db-0",
                                                             node="n1", zone="zone-a"),
                              endpoint("10.1.0.6", ready=False, serving=True, terminating=True)),
               endpoint_slice("db-x2", PLACE, "db", "fd00:1::5"))
    api.patch(service("cart", PLACE), {"metadata": {"labels": {"color": "blue"}}})
    api.delete(service("gone", PLACE))

    yield ask("discovery-group", "/apis/discovery.k8s.io")
    yield ask("services-list", f"{services}?resourceVersion=0")
    yield ask("endpointslices-list", f"{slices}?resourceVersion=0")
    page = ask("services-page", f"{services}?limit=1")
    yield page
    token = json.loads(page[3])["metadata"]["continue"]
    yield ask("services-page-last", f"{services}?limit=1&continue={token}")
    yield ask("services-watch", f"{services}?watch=1&resourceVersion={began}&timeoutSeconds=1")
    yield ask("services-watch-selected", f"{services}?watch=1&resourceVersion={began}"
              "&labelSelector=color%3Dred&timeoutSeconds=1")
    yield ask("endpointslices-watch", f"{slices}?watch=1&resourceVersion={began}&timeoutSeconds=1")
    yield ask("watch-list-refused", f"{services}?watch=1&sendInitialEvents=true"
              "&resourceVersionMatch=NotOlderThan")
    yield ask("version-not-there", "/apis/discovery.k8s.io/v9/endpointslices")
    yield ask("field-not-known", f"{services}?fieldSelector=spec.clusterIP!%3DNone")
    yield ask("version-ahead", f"{services}?resourceVersion=99999999")
    yield ask("unauthorized", services, token="unknown")
    yield ask("forbidden", services, token=kubernetes.PLAIN_TOKEN)
    forget()
    yield ask("watch-expired", f"{services}?watch=1&resourceVersion=1&timeoutSeconds=1")
    yield ask("page-expired", f"{services}?limit=1&continue={token}")


def read(path):
    """A recording, as record() yields it."""
    head, _, body = path.read_text().partition("\n\n")
    first, *lines = head.splitlines()
    headers = [tuple(line.split(": ", 1)) for line in lines]
    return path.stem, int(first.split()[1]), headers, body


def write(directory, name, status, headers, body):
    lines = [f"HTTP/1.1 {status}", *(f"{key}: {value}" for key, value in headers)]
    (directory / f"{name}.http").write_text("\n".join(lines) + f"\n\n{body}")


def difference(made, recorded):
    """What of an answer a real server would not have said so; None if nothing."""
    _, status, headers, body = made
    _, real_status, real_headers, real_body = recorded
    if status != real_status:
        return f"status {status}, really {real_status}"
    chosen, real_chosen = ({key.lower(): value for key, value in some if key.lower() in HEADERS}
                           for some in (headers, real_headers))
    if chosen != real_chosen:
        return f"headers {chosen}, really {real_chosen}"
    values, real_values = ([json.loads(line) for line in some.splitlines() if line.strip()]
                           for some in (body, real_body))
    if len(values) != len(real_values):
        return f"{len(values)} documents, really {len(real_values)}"
    return next((text for one, real in zip(values, real_values)
                 if (text := _unlike(one, real, ""))), None)


def _unlike(value, real, path):
    """The first place where a value is not part of what the real one says, in the same shape."""
    if type(value) is not type(real):
        return f"{path}: {value!r}, really {real!r}"
    if isinstance(value, dict):
        for key, inner in value.items():
            if key not in real:
                return f"{path}.{key}: really not there"
            if key in EXACT and not isinstance(inner, (dict, list)) and inner != real[key]:
                return f"{path}.{key}: {inner!r}, really {real[key]!r}"
            text = _unlike(inner, real[key], f"{path}.{key}")
            if text:
                return text
    if isinstance(value, list):
        if len(value) != len(real):
            return f"{path}: {len(value)} of them, really {len(real)}"
        if path.endswith(".items"):
            # Out of its watch cache they come in any order.
            value, real = (sorted(some, key=lambda item: item["metadata"]["name"])
                           for some in (value, real))
        return next((text for n, (one, other) in enumerate(zip(value, real))
                     if (text := _unlike(one, other, f"{path}[{n}]"))), None)
    return None


def main(arguments):
    if len(arguments) != 1:
        sys.exit(__doc__)
    directory = pathlib.Path(arguments[0])
    with tempfile.TemporaryDirectory(dir="/tmp") as temporary:
        server = kubernetes.Server(temporary)
        try:
            server.start()

            def forget():
                server.forget_history()
                server.restart()

            for answer in record(server.api, forget):
                write(directory, *answer)
        finally:
            server.stop_all()


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except debian.Unavailable as reason:
        sys.exit(f"kubernetes_record.py: {reason}")
