package redis

import (
	"context"
	"errors"
	"net"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"parley/contracttest"
	"parley/contracttest/redistest"
	"parley/store"
)

// heard is what a Trace was told.
type heard struct {
	mu         sync.Mutex
	roundTrips []RoundTrip
	dials      []error
}

func (h *heard) trace() Trace {
	return Trace{
		RoundTrip: func(_ context.Context, r RoundTrip) {
			h.mu.Lock()
			defer h.mu.Unlock()
			h.roundTrips = append(h.roundTrips, r)
		},
		Dialed: func(_ context.Context, _ time.Duration, err error) {
			h.mu.Lock()
			defer h.mu.Unlock()
			h.dials = append(h.dials, err)
		},
	}
}

// take gives what was heard since the last time, without the greetings of new
// connections.
func (h *heard) take(method string) (roundTrips []RoundTrip) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, r := range h.roundTrips {
		if method == "Ping" || r.Command != "PING" {
			roundTrips = append(roundTrips, r)
		}
	}
	h.roundTrips = nil
	return roundTrips
}

// What Operation says of a method is what the method does, and every round trip
// is told with the node it went to.
func TestTraceTellsOfRoundTrips(t *testing.T) {
	h := &heard{}
	s, err := New(Options{URL: redistest.Start(t).URL(), Prefix: uuid.NewString() + ":", Trace: h.trace()})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	ctx, o, id := t.Context(), contracttest.NewOwner(), uuid.NewString()
	begin := func(isNew bool) (held store.Turn) {
		if held, err = s.BeginTurn(ctx, store.Begin{Owner: o, Conversation: id, New: isNew, Fingerprint: "f"}); err != nil {
			t.Fatal(err)
		}
		return held
	}
	var held store.Turn
	for _, c := range []struct {
		method string
		call   func() error
	}{
		{"BeginTurn", func() error { held = begin(true); return nil }},
		{"RenewLease", func() error { _, err := s.RenewLease(ctx, held); return err }},
		{"Publish", func() error {
			_, _, err := s.Publish(ctx, held, store.Entry{Data: []byte("1"), Snapshot: true})
			return err
		}},
		{"Follow", func() error { _, err := s.Follow(ctx, store.Follow{Owner: o, Conversation: id, New: true}); return err }},
		{"CompleteTurn", func() error { return s.CompleteTurn(ctx, held, store.Completion{UpstreamID: "u"}) }},
		{"FailTurn", func() error {
			held = begin(false)
			h.take("")
			return s.FailTurn(ctx, held, "internal")
		}},
		{"Conversation", func() error { _, err := s.Conversation(ctx, o, id, store.Range{}); return err }},
		{"List", func() error { _, err := s.List(ctx, o, store.Page{}); return err }},
		{"SetStatus", func() error { _, err := s.SetStatus(ctx, o, id, store.StatusAbandoned); return err }},
		{"Stop", func() error { _, _, err := s.Stop(ctx, o, id); return err }},
		{"Delete", func() error { return s.Delete(ctx, o, id) }},
		{"Ping", func() error { return s.Ping(ctx) }},
	} {
		h.take("")
		if err := c.call(); err != nil {
			t.Fatalf("%s: %v", c.method, err)
		}
		roundTrips := h.take(c.method)
		command, script := Operation(c.method)
		if len(roundTrips) == 0 || roundTrips[0].Command != command || roundTrips[0].Script != script {
			t.Errorf("%s is %s %s, and did %+v", c.method, command, script, roundTrips)
		}
		for _, r := range roundTrips {
			if _, _, err := net.SplitHostPort(r.Peer); err != nil || r.Err != nil {
				t.Errorf("%s: %+v", c.method, r)
			}
		}
	}
	if p := s.Pool(); p.Idle < 1 || p.Max != 32 {
		t.Errorf("pool: %+v", p)
	}
	// Nothing found, and a script that the server did not know, are no errors.
	if _, err := s.Conversation(ctx, o, id, store.Range{}); !errors.Is(err, store.ErrNotFound) {
		t.Fatal(err)
	}
	if err := s.rdb().ScriptFlush(ctx).Err(); err != nil {
		t.Fatal(err)
	}
	held = begin(true)
	for _, r := range h.take("") {
		if r.Err != nil {
			t.Errorf("%+v", r)
		}
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.dials) == 0 {
		t.Error("no dial was told")
	}
}

// A failure is told with its kind, as the call gives it.
func TestTraceTellsOfFailures(t *testing.T) {
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	_ = l.Close()
	h := &heard{}
	s, err := New(Options{URL: "redis://" + address + "/3", Timeout: time.Second, Trace: h.trace()})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	if err := s.Ping(t.Context()); !errors.Is(err, store.ErrUnreachable) {
		t.Fatal(err)
	}
	roundTrips := h.take("Ping")
	if len(roundTrips) == 0 || !errors.Is(roundTrips[0].Err, store.ErrUnreachable) {
		t.Errorf("%+v", roundTrips)
	}
	trip(t, s)
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.dials) == 0 || !errors.Is(h.dials[0], store.ErrUnreachable) {
		t.Errorf("dials: %v", h.dials)
	}
	if host, port, database := s.Address(); net.JoinHostPort(host, strconv.Itoa(port)) != address || database != "3" {
		t.Errorf("address %s %d %s", host, port, database)
	}
}
