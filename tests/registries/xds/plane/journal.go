// SPDX-License-Identifier: LGPL-2.1-or-later

// What clients said and were told, message by message, for the tests to look at.
package main

import (
	"encoding/json"
	"sync"

	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
)

// journal keeps so many entries, then notes nothing more.
const journalSize = 200000

type entry struct {
	// What: open, close, request, response
	What   string `json:"what"`
	Stream int    `json:"stream"`
	// Kind: StreamAggregatedResources, DeltaAggregatedResources, rest
	Kind    string              `json:"kind"`
	Headers map[string][]string `json:"headers,omitempty"`
	Type    string              `json:"type,omitempty"`
	Version string              `json:"version,omitempty"`
	Nonce   string              `json:"nonce,omitempty"`
	Names   []string            `json:"names,omitempty"`
	Removed []string            `json:"removed,omitempty"`
	Initial map[string]string   `json:"initial,omitempty"`
	Node    json.RawMessage     `json:"node,omitempty"`
	Error   json.RawMessage     `json:"error,omitempty"`
}

type journal struct {
	mutex   sync.Mutex
	entries []entry
	kinds   []string
}

func (j *journal) add(e entry) {
	if len(j.entries) < journalSize {
		j.entries = append(j.entries, e)
	}
}

func (j *journal) open(kind string, headers metadata.MD) int {
	j.mutex.Lock()
	defer j.mutex.Unlock()
	j.kinds = append(j.kinds, kind)
	number := len(j.kinds)
	j.add(entry{What: "open", Stream: number, Kind: kind, Headers: headers})
	return number
}

func (j *journal) close(number int) {
	j.mutex.Lock()
	defer j.mutex.Unlock()
	j.add(entry{What: "close", Stream: number, Kind: j.kinds[number-1]})
}

func (j *journal) after(count int) []entry {
	j.mutex.Lock()
	defer j.mutex.Unlock()
	if count > len(j.entries) {
		count = len(j.entries)
	}
	return append([]entry{}, j.entries[count:]...)
}

// message notes what goes over a stream in either direction.
func (j *journal) message(number int, message any) {
	j.mutex.Lock()
	kind := j.kinds[number-1]
	j.mutex.Unlock()
	e := describe(message)
	e.Stream, e.Kind = number, kind
	j.mutex.Lock()
	defer j.mutex.Unlock()
	j.add(e)
}

func (j *journal) request(kind string, request *discovery.DiscoveryRequest) {
	e := describe(request)
	e.Kind = kind
	j.mutex.Lock()
	defer j.mutex.Unlock()
	j.add(e)
}

func describe(message any) entry {
	switch m := message.(type) {
	case *discovery.DiscoveryRequest:
		return entry{What: "request", Type: shortType(m.TypeUrl), Version: m.VersionInfo,
			Nonce: m.ResponseNonce, Names: m.ResourceNames, Node: document(m.Node, m.Node != nil),
			Error: document(m.ErrorDetail, m.ErrorDetail != nil)}
	case *discovery.DeltaDiscoveryRequest:
		return entry{What: "request", Type: shortType(m.TypeUrl), Nonce: m.ResponseNonce,
			Names: m.ResourceNamesSubscribe, Removed: m.ResourceNamesUnsubscribe,
			Initial: m.InitialResourceVersions, Node: document(m.Node, m.Node != nil),
			Error: document(m.ErrorDetail, m.ErrorDetail != nil)}
	case *discovery.DiscoveryResponse:
		e := entry{What: "response", Type: shortType(m.TypeUrl), Version: m.VersionInfo, Nonce: m.Nonce}
		for _, resource := range m.Resources {
			e.Names = append(e.Names, nameOf(resource))
		}
		return e
	case *discovery.DeltaDiscoveryResponse:
		e := entry{What: "response", Type: shortType(m.TypeUrl), Version: m.SystemVersionInfo,
			Nonce: m.Nonce, Removed: m.RemovedResources}
		for _, resource := range m.Resources {
			e.Names = append(e.Names, resource.Name)
		}
		return e
	}
	return entry{What: "unknown"}
}

func document(message proto.Message, exists bool) json.RawMessage {
	if !exists {
		return nil
	}
	text, err := protojson.Marshal(message)
	if err != nil {
		return nil
	}
	return text
}

// nameOf is the name of a resource, field 1 of every type that we serve but a name table.
func nameOf(resource *anypb.Any) string {
	message := newMessage(resource.TypeUrl)
	if message == nil || proto.Unmarshal(resource.Value, message) != nil {
		return "?"
	}
	if named, ok := message.(interface{ GetClusterName() string }); ok {
		return named.GetClusterName()
	}
	return message.(interface{ GetName() string }).GetName()
}
