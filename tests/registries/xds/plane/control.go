// SPDX-License-Identifier: LGPL-2.1-or-later

// The HTTP control, on a Unix socket:
//
//	POST /change   what is served (type change)
//	POST /do       what to do at once, and how to behave from now on (type order)
//	GET  /seen     the journal; ?after=N leaves out the first N entries
package main

import (
	"encoding/hex"
	"encoding/json"
	"net/http"
	"strconv"
	"time"

	healthpb "google.golang.org/grpc/health/grpc_health_v1"
)

type order struct {
	// Token: what clients must bear; empty: nothing.
	Token *string `json:"token"`
	// Spoil: what is done to answers of type Of (see mood.go).
	Spoil *string `json:"spoil"`
	Of    *string `json:"of"`
	// Brief: every stream ends as soon as it has answered.
	Brief *bool `json:"brief"`
	// Wire: how connections behave (see gates.set).
	Wire *string `json:"wire"`
	// End: all streams, with this status.
	End *int `json:"end"`
	// Goaway: says so on all connections, and cuts them after so many milliseconds.
	Goaway *int `json:"goaway"`
	// Inject: bytes in hexadecimal, written into every connection.
	Inject string `json:"inject"`
	// Reset: all connections.
	Reset bool `json:"reset"`
	// Health: services of grpc.health.v1, and whether they serve.
	Health map[string]bool `json:"health"`
}

func (p *plane) control() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/change", func(w http.ResponseWriter, r *http.Request) {
		var c change
		answer(w, read(r, &c, func() error { return p.cache.apply(&c) }))
	})
	mux.HandleFunc("/do", func(w http.ResponseWriter, r *http.Request) {
		var o order
		answer(w, read(r, &o, func() error { return p.obey(&o) }))
	})
	mux.HandleFunc("/seen", func(w http.ResponseWriter, r *http.Request) {
		after, _ := strconv.Atoi(r.URL.Query().Get("after"))
		json.NewEncoder(w).Encode(p.seen.after(after))
	})
	return mux
}

func read(r *http.Request, to any, then func() error) error {
	decoder := json.NewDecoder(r.Body)
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(to); err != nil {
		return err
	}
	return then()
}

func answer(w http.ResponseWriter, err error) {
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	w.Write([]byte("{}"))
}

func (p *plane) obey(o *order) error {
	p.mood.set(o.Token, o.Spoil, o.Of, o.Brief)
	for service, serves := range o.Health {
		state := healthpb.HealthCheckResponse_NOT_SERVING
		if serves {
			state = healthpb.HealthCheckResponse_SERVING
		}
		p.health.SetServingStatus(service, state)
	}
	if o.Wire != nil {
		p.conns.set(*o.Wire)
	}
	if o.End != nil {
		p.mood.end(*o.End)
	}
	if o.Goaway != nil {
		p.goaway(time.Duration(*o.Goaway) * time.Millisecond)
	}
	if o.Inject != "" {
		bytes, err := hex.DecodeString(o.Inject)
		if err != nil {
			return err
		}
		p.conns.each(func(one *gate) { one.Conn.Write(bytes) })
	}
	if o.Reset {
		p.conns.each((*gate).reset)
	}
	return nil
}
