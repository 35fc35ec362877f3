# SPDX-License-Identifier: LGPL-2.1-or-later
"""The Kubernetes registry against a server that does as it is told: the newer API, and failures that a real
server does not show on demand. The first test holds that server against recordings of a real one."""
import json
import os
import time

import pytest

import kubernetes_record
from clusters import FakeCluster
from kubernetes import PLAIN_TOKEN, endpoint_slice, headless, namespace, service
from world import TOP, wait_until

RECORDINGS = TOP / "tests/replay/recordings/kubernetes"
NXDOMAIN, AGAIN = "EAI_NONAME", "EAI_AGAIN"
CART = "cart.shop.svc.cluster.local"


@pytest.fixture
def make_fake():
    made = []

    def make(**behaviour):
        made.append(FakeCluster(**behaviour))
        made[-1].api.create(namespace("shop"))
        return made[-1]

    yield make
    for cluster in made:
        cluster.close()


def put(cluster, name, *addresses):
    """A headless service with these pods, in the place of the one that there may be."""
    items = cluster.api.get("/api/v1/namespaces/shop/services")["items"] or []
    if name not in [item["metadata"]["name"] for item in items]:
        cluster.api.create(headless(name, "shop"), endpoint_slice(f"{name}-1", "shop", name,
                                                                  *addresses))
    else:
        cluster.api.replace(endpoint_slice(f"{name}-1", "shop", name, *addresses))


def served(cluster, **options):
    """A machine that knows the pod 10.1.0.1 of the service cart."""
    put(cluster, "cart", "10.1.0.1")
    machine = cluster.machine(**options)
    machine.wait_for(CART, ["10.1.0.1"])
    return machine


def lists(cluster):
    """Requests for all of a collection; looking whether a version is there asks for one item."""
    return [path for path in cluster.requests() if "watch=1" not in path and "limit=1" not in path
            and ("/services" in path or "/endpoint" in path)]


# Honesty

def test_the_fake_answers_as_a_real_server_was_recorded(make_fake):
    cluster = make_fake(versions=["v1beta1"], watch_list=False, tokens=["test-admin", PLAIN_TOKEN],
                        denied=[PLAIN_TOKEN])
    cluster.do("clear")

    def forget():
        cluster.do("forget")
        cluster.behave(expired_pages=1)

    answers = {answer[0]: answer for answer in kubernetes_record.record(cluster.api, forget)}
    recorded = {path.stem: kubernetes_record.read(path) for path in RECORDINGS.glob("*.http")}
    assert set(answers) == set(recorded)
    unlike = {name: text for name, answer in answers.items()
              if (text := kubernetes_record.difference(answer, recorded[name]))}
    assert not unlike


@pytest.mark.xdist_group("kubernetes")
def test_a_real_server_answers_as_it_was_recorded(real_cluster):
    """So that the recordings stay what a real server says: a slice of the same kind."""
    place = real_cluster.namespace()
    real_cluster.api.create(headless("db", place), endpoint_slice("db-x1", place, "db", "10.1.0.5"))
    path = f"/apis/discovery.k8s.io/v1beta1/namespaces/{place}/endpointslices?resourceVersion=0"
    # Version 0 is answered from a cache, which may not have it yet.
    (item,) = wait_until(lambda: real_cluster.api.get(path)["items"], what="the slice")
    _, _, _, body = kubernetes_record.read(RECORDINGS / "endpointslices-list.http")
    recorded = kubernetes_record.json.loads(body)["items"][0]
    assert set(item) == set(recorded)
    assert set(item["metadata"]) == set(recorded["metadata"])


# The classic mistakes

def test_a_cluster_ip_is_not_called_a_single_instance(make_fake):
    cluster = make_fake()
    cluster.api.create(service("web", "shop", "10.96.0.9"))
    put(cluster, "cart", "10.1.0.1")
    machine = cluster.machine()
    machine.wait_for("web.shop.svc.cluster.local", ["10.96.0.9"])
    machine.wait_for(CART, ["10.1.0.1"])
    done = machine.sdctl("check", "--services", "--json", "--config-directory", machine.config)
    assert [(one["check"], one["name"]) for one in json.loads(done.stdout)["findings"]] == [
        ("single-instance", CART)]


# How it is learnt

def test_one_stream_where_the_server_can_and_a_list_with_a_watch_where_not(make_fake):
    new, old = make_fake(), make_fake(watch_list=False)
    for cluster in (new, old):
        machine = served(cluster)
        put(cluster, "cart", "10.1.0.2")
        machine.wait_for(CART, ["10.1.0.2"])
        assert cluster.requests("sendInitialEvents=true")
    assert not lists(new)
    assert lists(old) and old.requests("watch=1&allowWatchBookmarks=true&resourceVersion=")


def test_a_cluster_ip_needs_no_slices(make_fake):
    cluster = make_fake()
    cluster.api.create(service("web", "shop", "10.96.0.9"),
                       endpoint_slice("web-1", "shop", "web", "10.1.0.9"))
    machine = cluster.machine()
    machine.wait_for("web.shop.svc.cluster.local", ["10.96.0.9"])
    assert not cluster.requests("endpointslices?")


def test_a_stream_cut_off_goes_on_where_it_was(make_fake):
    cluster = make_fake(watch_list=False)
    machine = served(cluster)
    before = lists(cluster)
    cluster.do("cut")
    put(cluster, "cart", "10.1.0.2")
    machine.wait_for(CART, ["10.1.0.2"], timeout=30)
    cluster.do("cut")
    put(cluster, "cart", "10.1.0.3")
    machine.wait_for(CART, ["10.1.0.3"], timeout=30)
    assert lists(cluster) == before, "nothing was listed again"


@pytest.mark.parametrize("gone", ["event", "status"])
@pytest.mark.parametrize("watch_list", [True, False])
def test_a_forgotten_version_is_listed_again(make_fake, gone, watch_list):
    cluster = make_fake(watch_list=watch_list, gone=gone)
    put(cluster, "mail", "10.1.0.8")
    machine = served(cluster)
    machine.wait_for("mail.shop.svc.cluster.local", ["10.1.0.8"])
    machine.daemon.pause()
    put(cluster, "cart", "10.1.0.2")
    cluster.api.delete(endpoint_slice("mail-1", "shop", "mail"), headless("mail", "shop"))
    cluster.do("forget")
    machine.daemon.resume()
    machine.wait_for(CART, ["10.1.0.2"], timeout=30)
    machine.wait_for("mail.shop.svc.cluster.local", [], timeout=30)


def test_a_list_that_only_comes_in_pages(make_fake):
    cluster = make_fake(watch_list=False, whole_lists=False)
    cluster.control({"fill": [1100, 1100]})
    machine = cluster.machine(Watch="all")
    machine.wait_for("svc1000.ns0.svc.cluster.local", ["10.15.66.64"], timeout=30)
    assert cluster.requests("limit=500") and cluster.requests("continue=")


def test_pages_that_expire_are_begun_anew(make_fake):
    cluster = make_fake(watch_list=False, whole_lists=False, expired_pages=1)
    cluster.control({"fill": [600, 600]})
    machine = cluster.machine(Watch="all")
    machine.wait_for("svc599.ns99.svc.cluster.local", ["10.9.35.216"], timeout=30)


def test_lists_are_compressed_and_watches_are_not(make_fake):
    cluster = make_fake(watch_list=False, gzip_watches=True)
    cluster.control({"fill": [1000, 1000]})
    machine = cluster.machine(Watch="all")
    machine.wait_for("svc7.ns7.svc.cluster.local", ["10.0.27.88"], timeout=30)
    put(cluster, "cart", "10.1.0.1")
    machine.wait_for(CART, ["10.1.0.1"])
    put(cluster, "cart", "10.1.0.2")
    machine.wait_for(CART, ["10.1.0.2"])
    compressed = cluster.control()["compressed"]
    assert compressed and not [path for path in compressed if "watch=1" in path]


def test_an_upgrade_that_takes_a_version_away(make_fake):
    cluster = make_fake(versions=["v1beta1"], watch_list=False)
    machine = served(cluster)
    cluster.behave(versions=["v1"], watch_list=True)
    cluster.do("cut")
    put(cluster, "cart", "10.1.0.2")
    machine.wait_for(CART, ["10.1.0.2"], timeout=60)


# Failures

def test_a_server_that_asks_for_patience_gets_it(make_fake):
    cluster = make_fake(throttle=3)
    began = time.monotonic()
    served(cluster)
    # Retry-After is 1 s.
    assert time.monotonic() - began > 1
    assert len(cluster.requests()) < 20


def test_a_proxy_that_speaks_html_is_no_absence(make_fake):
    cluster = make_fake(broken=1000)
    put(cluster, "cart", "10.1.0.1")
    machine = cluster.machine(resolve={"LookupTimeoutSec": "300ms"})
    assert machine.ask(CART)["status"] == AGAIN
    assert len(cluster.requests()) < 20
    cluster.behave(broken=0)
    machine.wait_for(CART, ["10.1.0.1"], timeout=60)


def test_a_denied_collection_is_no_absence(make_fake):
    cluster = make_fake()
    machine = served(cluster, resolve={"LookupTimeoutSec": "300ms"})
    cluster.behave(forbidden=["/api/v1", "/apis"])
    cluster.do("cut")
    wait_until(lambda: machine.ask("other.shop.svc.cluster.local")["status"] == AGAIN, what="a denial")
    assert machine.addresses(CART) == ["10.1.0.1"]


def test_an_emptied_cluster_is_suspect_and_then_followed(make_fake):
    hold = 3
    cluster = make_fake()
    for n in range(5):
        put(cluster, f"other{n}", "10.1.0.9")
    machine = served(cluster, resolve={"EmptyHoldSec": f"{hold}s"})
    for n in range(5):
        machine.wait_for(f"other{n}.shop.svc.cluster.local", ["10.1.0.9"])
    with machine.client() as client:
        began = time.monotonic()
        cluster.do("swap")
        while time.monotonic() < began + hold / 2:
            assert client.getaddrinfo(CART)["addresses"] == ["10.1.0.1"]
        wait_until(lambda: client.getaddrinfo(CART)["status"] == NXDOMAIN, 60, "the absence")


@pytest.mark.skipif(not os.environ.get("NSS_SD_TESTS_LONG"), reason="takes minutes: --long")
@pytest.mark.timeout(600)
def test_a_server_that_falls_silent_is_noticed(make_fake):
    cluster = make_fake()
    machine = served(cluster)
    cluster.behave(mute=True)
    put(cluster, "cart", "10.1.0.2")
    machine.wait_for(CART, ["10.1.0.2"], timeout=400)
