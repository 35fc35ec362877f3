// SPDX-License-Identifier: LGPL-2.1-or-later

// How the plane misbehaves: in what it says (mood) and on the wire (gates).
package main

import (
	"net"
	"slices"
	"sync"
	"time"

	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
)

const wrapper = "type.googleapis.com/envoy.service.discovery.v3.Resource"

type mood struct {
	mutex sync.Mutex
	token string
	// spoil is done to answers of type `of`: duplicate, garbage, foreign, wrap, oversized.
	spoil, of string
	// brief: a stream ends as soon as it has answered.
	brief   bool
	streams map[int]chan error
}

// authorize demands the token, if there is one.
func (m *mood) authorize(values []string) error {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	if m.token != "" && !slices.Contains(values, "Bearer "+m.token) {
		return status.Error(codes.Unauthenticated, "no such token")
	}
	return nil
}

func (m *mood) isBrief() bool {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	return m.brief
}

func (m *mood) set(token, spoil, of *string, brief *bool) {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	if brief != nil {
		m.brief = *brief
	}
	for from, to := range map[*string]*string{token: &m.token, spoil: &m.spoil, of: &m.of} {
		if from != nil {
			*to = *from
		}
	}
}

// follow returns where the end of the stream will be told.
func (m *mood) follow(number int) chan error {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	if m.streams == nil {
		m.streams = map[int]chan error{}
	}
	m.streams[number] = make(chan error, 1)
	return m.streams[number]
}

func (m *mood) forget(number int) {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	delete(m.streams, number)
}

// end ends all streams with a status; 0 is a good end.
func (m *mood) end(code int) {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	for _, ended := range m.streams {
		select {
		case ended <- status.Error(codes.Code(code), "told to"):
		default:
		}
	}
}

// alter changes an answer that is about to be sent.
func (m *mood) alter(message any) {
	m.mutex.Lock()
	spoil, of := m.spoil, typeURLs[m.of]
	m.mutex.Unlock()
	switch answer := message.(type) {
	case *discovery.DiscoveryResponse:
		if answer.TypeUrl == of {
			answer.Resources = spoilResources(spoil, answer)
		}
	case *discovery.DeltaDiscoveryResponse:
		if answer.TypeUrl == of {
			answer.Resources = spoilDelta(spoil, answer)
		}
	}
}

func spoilResources(spoil string, answer *discovery.DiscoveryResponse) []*anypb.Any {
	// The slice is the cache's.
	resources := slices.Clone(answer.Resources)
	add := func(typeURL string, value []byte) {
		resources = append(resources, &anypb.Any{TypeUrl: typeURL, Value: value})
	}
	switch spoil {
	case "duplicate":
		resources = append(resources, resources...)
	case "garbage":
		add(answer.TypeUrl, []byte{0x12, 0x7f, 0xff})
	case "foreign":
		add("type.googleapis.com/google.protobuf.Duration", nil)
	case "oversized":
		add(answer.TypeUrl, make([]byte, oversize))
	case "wrap":
		for i, one := range resources {
			value, err := proto.Marshal(&discovery.Resource{Name: nameOf(one), Resource: one})
			check(err)
			resources[i] = &anypb.Any{TypeUrl: wrapper, Value: value}
		}
	}
	return resources
}

func spoilDelta(spoil string, answer *discovery.DeltaDiscoveryResponse) []*discovery.Resource {
	resources := slices.Clone(answer.Resources)
	add := func(name, typeURL string, value []byte) {
		resources = append(resources, &discovery.Resource{Name: name, Version: "1",
			Resource: &anypb.Any{TypeUrl: typeURL, Value: value}})
	}
	switch spoil {
	case "duplicate":
		resources = append(resources, resources...)
	case "garbage":
		add("garbage", answer.TypeUrl, []byte{0x12, 0x7f, 0xff})
	case "foreign":
		add("foreign", "type.googleapis.com/google.protobuf.Duration", nil)
	case "oversized":
		add("oversized", answer.TypeUrl, make([]byte, oversize))
	}
	return resources
}

// More than any client takes.
const oversize = 100 << 20

// gates are the connections of clients, each with a gate in either direction.
type gates struct {
	mutex sync.Mutex
	open  map[*gate]bool
	// What new connections begin with.
	mode string
}

func (g *gates) guard(listener net.Listener) net.Listener {
	g.open = map[*gate]bool{}
	return &guarded{listener, g}
}

type guarded struct {
	net.Listener
	gates *gates
}

func (l *guarded) Accept() (net.Conn, error) {
	connection, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	l.gates.mutex.Lock()
	defer l.gates.mutex.Unlock()
	one := &gate{Conn: connection, gates: l.gates, mode: l.gates.mode}
	one.changed = sync.NewCond(&one.mutex)
	l.gates.open[one] = true
	return one, nil
}

func (g *gates) each(do func(*gate)) int {
	g.mutex.Lock()
	list := make([]*gate, 0, len(g.open))
	for one := range g.open {
		list = append(list, one)
	}
	g.mutex.Unlock()
	for _, one := range list {
		do(one)
	}
	return len(list)
}

// set changes all connections and those to come: "", deaf (reads nothing), mute (writes nothing), frozen
// (both), trickle (writes a few bytes at a time).
func (g *gates) set(mode string) {
	g.mutex.Lock()
	g.mode = mode
	g.mutex.Unlock()
	g.each(func(one *gate) {
		one.mutex.Lock()
		one.mode = mode
		one.mutex.Unlock()
		one.changed.Broadcast()
	})
}

type gate struct {
	net.Conn
	gates   *gates
	mutex   sync.Mutex
	changed *sync.Cond
	mode    string
	closed  bool
}

// pass waits until none of `modes` is in force.
func (c *gate) pass(modes ...string) (mode string, err error) {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	for slices.Contains(modes, c.mode) && !c.closed {
		c.changed.Wait()
	}
	if c.closed {
		return "", net.ErrClosed
	}
	return c.mode, nil
}

func (c *gate) Read(bytes []byte) (int, error) {
	if _, err := c.pass("deaf", "frozen"); err != nil {
		return 0, err
	}
	count, err := c.Conn.Read(bytes)
	// What came while the gate was being shut stays before it.
	if _, shut := c.pass("deaf", "frozen"); shut != nil {
		return 0, shut
	}
	return count, err
}

func (c *gate) Write(bytes []byte) (int, error) {
	mode, err := c.pass("mute", "frozen")
	if err != nil || mode != "trickle" {
		if err != nil {
			return 0, err
		}
		return c.Conn.Write(bytes)
	}
	done := 0
	for piece := range slices.Chunk(bytes, 7) {
		count, err := c.Conn.Write(piece)
		done += count
		if err != nil {
			return done, err
		}
		time.Sleep(100 * time.Microsecond)
	}
	return done, nil
}

func (c *gate) Close() error {
	c.gates.mutex.Lock()
	delete(c.gates.open, c)
	c.gates.mutex.Unlock()
	c.mutex.Lock()
	c.closed = true
	c.mutex.Unlock()
	c.changed.Broadcast()
	return c.Conn.Close()
}

// reset cuts the connection without a farewell.
func (c *gate) reset() {
	under := c.Conn
	if tcp, ok := under.(*net.TCPConn); ok {
		tcp.SetLinger(0)
	}
	c.Close()
}

// handover gives the connections of one listener to the last of several servers.
type handover struct {
	listener net.Listener
	mutex    sync.Mutex
	current  *share
}

type share struct {
	from        *handover
	connections chan net.Conn
	closed      chan struct{}
	once        sync.Once
}

func newHandover(listener net.Listener) *handover {
	h := &handover{listener: listener}
	go func() {
		for {
			connection, err := listener.Accept()
			check(err)
			h.mutex.Lock()
			current := h.current
			h.mutex.Unlock()
			current.connections <- connection
		}
	}()
	return h
}

func (h *handover) next() net.Listener {
	h.mutex.Lock()
	defer h.mutex.Unlock()
	h.current = &share{from: h, connections: make(chan net.Conn, 64), closed: make(chan struct{})}
	return h.current
}

func (s *share) Accept() (net.Conn, error) {
	select {
	case connection := <-s.connections:
		return connection, nil
	case <-s.closed:
		return nil, net.ErrClosed
	}
}

func (s *share) Close() error {
	s.once.Do(func() { close(s.closed) })
	return nil
}

func (s *share) Addr() net.Addr { return s.from.listener.Addr() }
