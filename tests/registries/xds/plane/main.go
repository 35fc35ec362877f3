// SPDX-License-Identifier: LGPL-2.1-or-later

// The control plane of the tests: go-control-plane's caches and servers, told over HTTP on a Unix socket
// what to serve, how to misbehave, and asked what clients said. It speaks gRPC (ADS, and grpc.health.v1)
// and, from a snapshot cache, REST. Prints "ready" when it serves; ends when its standard input does.
package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"

	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	server "github.com/envoyproxy/go-control-plane/pkg/server/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

var (
	grpcAddress = flag.String("grpc", "127.0.0.1:18000", "where gRPC is served")
	restAddress = flag.String("rest", "", "where REST is served (needs -cache=snapshot*)")
	controlPath = flag.String("control", "", "the Unix socket of the control")
	cacheMode   = flag.String("cache", "linear", "linear, snapshot, or snapshot-ads (ADS=true)")
	methods     = flag.String("methods", "Stream,Delta", "which methods exist: Stream is SotW")
	certificate = flag.String("certificate", "", "PEM file: TLS is demanded")
	key         = flag.String("key", "", "PEM file")
	clientCA    = flag.String("client-ca", "", "PEM file: clients must have a certificate")
	istio       = flag.Bool("istio", false, "demand node ids as istiod does, and make up any assignment")
	minPing     = flag.Duration("min-ping", 5*time.Minute, "clients that PING more often are sent away")
)

// plane is one running control plane.
type plane struct {
	cache  *resources
	seen   journal
	mood   mood
	conns  gates
	health *health.Server
	xds    server.Server
	grpc   *grpc.Server
	accept *handover
}

func main() {
	flag.Parse()
	p := &plane{health: health.NewServer()}
	p.cache = newResources(*cacheMode)
	p.xds = server.NewServer(context.Background(), p.cache.serve, p.callbacks())

	listener, err := net.Listen("tcp", *grpcAddress)
	check(err)
	p.accept = newHandover(p.conns.guard(listener))
	p.serveGRPC()
	if *restAddress != "" {
		rest, err := net.Listen("tcp", *restAddress)
		check(err)
		go p.serveREST(rest)
	}
	os.Remove(*controlPath)
	control, err := net.Listen("unix", *controlPath)
	check(err)
	go http.Serve(control, p.control())
	fmt.Println("ready")
	io.Copy(io.Discard, os.Stdin)
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

// serveGRPC begins a gRPC server, which gets all further connections.
func (p *plane) serveGRPC() {
	options := []grpc.ServerOption{
		grpc.StreamInterceptor(p.intercept),
		grpc.MaxConcurrentStreams(1000),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: *minPing}),
	}
	if config := tlsConfig("h2"); config != nil {
		options = append(options, grpc.Creds(credentials.NewTLS(config)))
	}
	p.grpc = grpc.NewServer(options...)
	discovery.RegisterAggregatedDiscoveryServiceServer(p.grpc, p.xds)
	healthpb.RegisterHealthServer(p.grpc, p.health)
	go p.grpc.Serve(p.accept.next())
}

// goaway tells every client to go, as a server does that is about to end; `grace` later it cuts.
func (p *plane) goaway(grace time.Duration) {
	old := p.grpc
	p.serveGRPC()
	go old.GracefulStop()
	time.AfterFunc(grace, old.Stop)
}

func (p *plane) serveREST(listener net.Listener) {
	gateway := server.HTTPGateway{Server: p.xds}
	web := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := p.mood.authorize(r.Header.Values("Authorization")); err != nil {
			http.Error(w, err.Error(), http.StatusUnauthorized)
			return
		}
		body, code, err := gateway.ServeHTTP(r)
		if err != nil {
			http.Error(w, err.Error(), code)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(code)
		w.Write(body)
	})}
	if config := tlsConfig("http/1.1"); config != nil {
		listener = tls.NewListener(listener, config)
	}
	web.Serve(listener)
}

func tlsConfig(protocol string) *tls.Config {
	if *certificate == "" {
		return nil
	}
	pair, err := tls.LoadX509KeyPair(*certificate, *key)
	check(err)
	config := &tls.Config{Certificates: []tls.Certificate{pair}, NextProtos: []string{protocol}}
	if *clientCA != "" {
		pem, err := os.ReadFile(*clientCA)
		check(err)
		config.ClientCAs = x509.NewCertPool()
		config.ClientCAs.AppendCertsFromPEM(pem)
		config.ClientAuth = tls.RequireAndVerifyClientCert
	}
	return config
}

// callbacks are go-control-plane's own; what goes over the wire is noted by intercept().
func (p *plane) callbacks() server.Callbacks {
	return server.CallbackFuncs{
		StreamRequestFunc: func(_ int64, r *discovery.DiscoveryRequest) error {
			return p.admit(r.GetNode(), r.GetTypeUrl(), r.GetResourceNames())
		},
		StreamDeltaRequestFunc: func(_ int64, r *discovery.DeltaDiscoveryRequest) error {
			return p.admit(r.GetNode(), r.GetTypeUrl(), r.GetResourceNamesSubscribe())
		},
		FetchRequestFunc: func(_ context.Context, r *discovery.DiscoveryRequest) error {
			p.seen.request("rest", r)
			return nil
		},
	}
}

// admit does what istiod does of its own: it refuses nodes, and knows an assignment of any cluster.
func (p *plane) admit(node *core.Node, typeURL string, names []string) error {
	if !*istio {
		return nil
	}
	// Only the first request of a stream need have it.
	if node != nil {
		parts := strings.Split(node.Id, "~")
		if len(parts) != 4 || net.ParseIP(parts[1]) == nil {
			return status.Errorf(codes.InvalidArgument, "invalid node id %q", node.Id)
		}
		if !slices.Contains([]string{"sidecar", "router", "waypoint"}, parts[0]) {
			return status.Errorf(codes.InvalidArgument, "unknown node type %q", parts[0])
		}
	}
	p.cache.makeUp(typeURL, names)
	return nil
}

// intercept stands between the wire and go-control-plane: it notes every message as it is, and alters
// answers when told to.
func (p *plane) intercept(service any, stream grpc.ServerStream, info *grpc.StreamServerInfo,
	handler grpc.StreamHandler) error {
	method := info.FullMethod[strings.LastIndex(info.FullMethod, "/")+1:]
	if !strings.HasSuffix(method, "AggregatedResources") {
		return handler(service, stream)
	}
	sent, _ := metadata.FromIncomingContext(stream.Context())
	number := p.seen.open(method, sent)
	defer p.seen.close(number)
	exists := false
	for _, prefix := range strings.Split(*methods, ",") {
		exists = exists || strings.HasPrefix(method, prefix)
	}
	if !exists {
		return status.Errorf(codes.Unimplemented, "unknown method %s", method)
	}
	if err := p.mood.authorize(sent.Get("authorization")); err != nil {
		return err
	}
	ended := p.mood.follow(number)
	defer p.mood.forget(number)
	result := make(chan error, 1)
	go func() { result <- handler(service, &noted{stream, p, number}) }()
	// Returning ends the stream with trailers; the handler then finds its context cancelled.
	select {
	case err := <-result:
		return err
	case err := <-ended:
		return err
	}
}

// noted is a stream whose messages are noted.
type noted struct {
	grpc.ServerStream
	plane  *plane
	number int
}

func (n *noted) RecvMsg(message any) error {
	err := n.ServerStream.RecvMsg(message)
	if err == nil {
		n.plane.seen.message(n.number, message)
	}
	return err
}

func (n *noted) SendMsg(message any) error {
	n.plane.mood.alter(message)
	n.plane.seen.message(n.number, message)
	err := n.ServerStream.SendMsg(message)
	if n.plane.mood.isBrief() {
		n.plane.mood.end(int(codes.Unavailable))
	}
	return err
}
