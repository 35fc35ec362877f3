// SPDX-License-Identifier: LGPL-2.1-or-later

// What the plane serves: the resources of each type, in a cache of go-control-plane's.
package main

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"time"

	cluster "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpoint "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	listener "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	route "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/clusters/aggregate/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	"github.com/envoyproxy/go-control-plane/pkg/cache/types"
	"github.com/envoyproxy/go-control-plane/pkg/cache/v3"
	resource "github.com/envoyproxy/go-control-plane/pkg/resource/v3"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/emptypb"
)

const nameTable = "type.googleapis.com/istio.networking.nds.v1.NameTable"

// The words of the control for the types.
var typeURLs = map[string]string{
	"clusters": resource.ClusterType, "endpoints": resource.EndpointType,
	"listeners": resource.ListenerType, "routes": resource.RouteType, "names": nameTable,
}

func shortType(typeURL string) string {
	for short, url := range typeURLs {
		if url == typeURL {
			return short
		}
	}
	return typeURL
}

func newMessage(typeURL string) proto.Message {
	switch typeURL {
	case resource.ClusterType:
		return &cluster.Cluster{}
	case resource.EndpointType:
		return &endpoint.ClusterLoadAssignment{}
	case resource.ListenerType:
		return &listener.Listener{}
	case resource.RouteType:
		return &route.RouteConfiguration{}
	}
	return nil
}

// resources holds everything that is served, by type and name; `serve` is the cache in front of it.
type resources struct {
	serve    cache.Cache
	mutex    sync.Mutex
	linear   map[string]*cache.LinearCache
	snapshot cache.SnapshotCache
	items    map[string]map[string]types.Resource
	boot     string
	versions map[string]int
}

type anyNode struct{}

func (anyNode) ID(*core.Node) string { return "any" }

func newResources(mode string) *resources {
	r := &resources{
		linear: map[string]*cache.LinearCache{}, items: map[string]map[string]types.Resource{},
		versions: map[string]int{}, boot: fmt.Sprintf("%d-", time.Now().UnixNano()),
	}
	caches := map[string]cache.Cache{}
	for _, url := range typeURLs {
		r.items[url] = map[string]types.Resource{}
		r.linear[url] = cache.NewLinearCache(url, cache.WithVersionPrefix(r.boot))
		caches[url] = r.linear[url]
	}
	if mode != "linear" {
		r.snapshot = cache.NewSnapshotCache(mode == "snapshot-ads", anyNode{}, nil)
		for url := range caches {
			// A snapshot has no room for types that go-control-plane does not know.
			if url != nameTable {
				caches[url] = r.snapshot
			}
		}
	}
	r.serve = &cache.MuxCache{
		Classify:      func(request *cache.Request) string { return request.GetTypeUrl() },
		ClassifyDelta: func(request *cache.DeltaRequest) string { return request.GetTypeUrl() },
		Caches:        caches,
	}
	if r.snapshot != nil {
		check(r.publish(nil))
	}
	return r
}

// publish makes the cache show `changed`, a set of names for each type.
func (r *resources) publish(changed map[string]map[string]bool) error {
	for url, names := range changed {
		r.versions[url]++
		if r.snapshot != nil && url != nameTable {
			continue
		}
		update, remove := map[string]types.Resource{}, []string{}
		for name := range names {
			if item, exists := r.items[url][name]; exists {
				update[name] = item
			} else {
				remove = append(remove, name)
			}
		}
		if err := r.linear[url].UpdateResources(update, remove); err != nil {
			return err
		}
	}
	if r.snapshot == nil {
		return nil
	}
	snapshot := &cache.Snapshot{}
	for url, items := range r.items {
		index := cache.GetResponseType(url)
		if index == types.UnknownType {
			continue
		}
		shown := cache.Resources{Version: fmt.Sprintf("%s%d", r.boot, r.versions[url]),
			Items: map[string]types.ResourceWithTTL{}}
		for name, item := range items {
			shown.Items[name] = types.ResourceWithTTL{Resource: item}
		}
		snapshot.Resources[index] = shown
	}
	return r.snapshot.SetSnapshot(context.Background(), "any", snapshot)
}

// change is what the control's /set and /remove take.
type change struct {
	Set    map[string][]json.RawMessage `json:"set"`
	Remove map[string][]string          `json:"remove"`
	// Names is Istio's name table: host to addresses and more.
	Names map[string]nameInfo `json:"names"`
	// Raw are bytes, in hexadecimal, that are served as a resource.
	Raw []struct{ Type, Name, Bytes string } `json:"raw"`
	// Fill makes clusters "cluster-N" with so many endpoints each.
	Fill *struct{ Clusters, Endpoints int } `json:"fill"`
}

type nameInfo struct {
	IPs       []string `json:"ips"`
	Registry  string   `json:"registry"`
	Shortname string   `json:"shortname"`
	Namespace string   `json:"namespace"`
}

// apply makes all of a change at once.
func (r *resources) apply(c *change) error {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	changed := map[string]map[string]bool{}
	put := func(url, name string, item types.Resource) {
		if changed[url] == nil {
			changed[url] = map[string]bool{}
		}
		changed[url][name] = true
		if item == nil {
			delete(r.items[url], name)
		} else {
			r.items[url][name] = item
		}
	}
	for short, documents := range c.Set {
		for _, document := range documents {
			item := newMessage(typeURLs[short])
			if item == nil {
				return fmt.Errorf("there is no type %q", short)
			}
			if err := protojson.Unmarshal(document, item); err != nil {
				return err
			}
			put(typeURLs[short], cache.GetResourceName(item), item)
		}
	}
	for short, names := range c.Remove {
		for _, name := range names {
			put(typeURLs[short], name, nil)
		}
	}
	for _, raw := range c.Raw {
		bytes, err := hex.DecodeString(raw.Bytes)
		if err != nil {
			return err
		}
		put(typeURLs[raw.Type], raw.Name, rawMessage(bytes))
	}
	if c.Names != nil {
		put(nameTable, "", rawMessage(encodeNames(c.Names)))
	}
	if c.Fill != nil {
		for n := range c.Fill.Clusters {
			name := fmt.Sprintf("cluster-%d", n)
			put(resource.ClusterType, name, edsCluster(name))
			put(resource.EndpointType, name, filledAssignment(name, n, c.Fill.Endpoints))
		}
	}
	return r.publish(changed)
}

// makeUp gives each outbound cluster that nobody set an assignment without endpoints.
func (r *resources) makeUp(typeURL string, names []string) {
	if typeURL != resource.EndpointType {
		return
	}
	r.mutex.Lock()
	defer r.mutex.Unlock()
	made := map[string]bool{}
	for _, name := range names {
		if _, exists := r.items[typeURL][name]; !exists && strings.HasPrefix(name, "outbound|") {
			r.items[typeURL][name] = &endpoint.ClusterLoadAssignment{ClusterName: name}
			made[name] = true
		}
	}
	if len(made) > 0 {
		check(r.publish(map[string]map[string]bool{typeURL: made}))
	}
}

// rawMessage is marshalled to just these bytes.
func rawMessage(bytes []byte) proto.Message {
	message := &emptypb.Empty{}
	message.ProtoReflect().SetUnknown(bytes)
	return message
}

// encodeNames writes a NameTable: field 1 is a map of host to NameInfo (ips 1, registry 2, shortname 3,
// namespace 4).
func encodeNames(names map[string]nameInfo) []byte {
	text := func(to []byte, number protowire.Number, value string) []byte {
		if value == "" {
			return to
		}
		return protowire.AppendString(protowire.AppendTag(to, number, protowire.BytesType), value)
	}
	var table []byte
	for host, info := range names {
		var value []byte
		for _, ip := range info.IPs {
			value = text(value, 1, ip)
		}
		value = text(text(text(value, 2, info.Registry), 3, info.Shortname), 4, info.Namespace)
		entry := protowire.AppendTag(text(nil, 1, host), 2, protowire.BytesType)
		entry = protowire.AppendBytes(entry, value)
		table = protowire.AppendBytes(protowire.AppendTag(table, 1, protowire.BytesType), entry)
	}
	return table
}

func edsCluster(name string) *cluster.Cluster {
	return &cluster.Cluster{
		Name:                 name,
		ConnectTimeout:       durationpb.New(time.Second),
		ClusterDiscoveryType: &cluster.Cluster_Type{Type: cluster.Cluster_EDS},
		EdsClusterConfig: &cluster.Cluster_EdsClusterConfig{EdsConfig: &core.ConfigSource{
			ResourceApiVersion:    core.ApiVersion_V3,
			ConfigSourceSpecifier: &core.ConfigSource_Ads{Ads: &core.AggregatedConfigSource{}}}},
	}
}

// filledAssignment has addresses of 10/8, those of cluster n beginning at n * 256.
func filledAssignment(name string, n, endpoints int) *endpoint.ClusterLoadAssignment {
	locality := &endpoint.LocalityLbEndpoints{Locality: &core.Locality{Zone: "z1"}}
	for i := range endpoints {
		address := n*256 + i + 1
		locality.LbEndpoints = append(locality.LbEndpoints, &endpoint.LbEndpoint{
			HealthStatus: core.HealthStatus_HEALTHY,
			HostIdentifier: &endpoint.LbEndpoint_Endpoint{Endpoint: &endpoint.Endpoint{
				Address: &core.Address{Address: &core.Address_SocketAddress{
					SocketAddress: &core.SocketAddress{
						Address:       fmt.Sprintf("10.%d.%d.%d", address>>16, address>>8&255, address&255),
						PortSpecifier: &core.SocketAddress_PortValue{PortValue: 8080}}}}}}})
	}
	return &endpoint.ClusterLoadAssignment{ClusterName: name,
		Endpoints: []*endpoint.LocalityLbEndpoints{locality}}
}
