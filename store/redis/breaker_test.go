package redis

import (
	"context"
	"errors"
	"flag"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"go.uber.org/goleak"

	"parley/contracttest/faultproxy"
	"parley/contracttest/latency"
	"parley/contracttest/redistest"
	"parley/store"
)

// timeout is what the stores of these tests wait for Redis.
const timeout = 800 * time.Millisecond

// newProxied makes a store behind a proxy in front of a real Redis.
func newProxied(t *testing.T) (*Store, *faultproxy.Proxy) {
	t.Helper()
	p := faultproxy.Start(t, redistest.Start(t).Addr())
	s := newStore(t, "redis://"+p.Addr(), timeout)
	if err := s.Ping(t.Context()); err != nil {
		t.Fatal(err)
	}
	return s, p
}

// isOpen reports whether a call was answered by the breaker.
func isOpen(err error) bool {
	e, ok := errors.AsType[*store.Error](err)
	return ok && e.BreakerOpen && errors.Is(e.Cause, errOpen)
}

// trip has calls fail until the breaker is open.
func trip(t *testing.T, s *Store) {
	t.Helper()
	for range tripAfter {
		if err := s.Ping(t.Context()); err == nil {
			t.Fatal("Redis answers")
		}
	}
	eventually(t, "the breaker opens", s.BreakerOpen)
}

// untilUp waits until a call succeeds and returns how long that took.
func untilUp(t *testing.T, s *Store) time.Duration {
	t.Helper()
	began := time.Now()
	for tick := time.Tick(5 * time.Millisecond); ; <-tick {
		err := s.Ping(t.Context())
		switch took := time.Since(began); {
		case err == nil:
			return took
		case took > 10*time.Second:
			t.Fatalf("Redis was not found again: %v", err)
		}
	}
}

// After five failures of the transport in a row, and a PING that fails too, calls
// fail at once, without a word to Redis, with the kind of the failure that opened the
// breaker; and it closes by itself when Redis is back.
func TestBreaker(t *testing.T) {
	Slow(t)
	machine := latency.Watch(t)
	s, p := newProxied(t)
	for what, c := range map[string]struct {
		fault faultproxy.Fault
		kind  error
	}{
		"a black hole":       {faultproxy.BlackHole(faultproxy.Both, faultproxy.AllConns), store.ErrTimeout},
		"a closed door":      {faultproxy.Refuse(), store.ErrUnreachable},
		"a hanging dial":     {faultproxy.HangDials(), store.ErrTimeout},
		"a hasty end":        {faultproxy.CloseOnAccept(faultproxy.RST), store.ErrUnreachable},
		"a slow way":         {faultproxy.Latency(2 * timeout).On(faultproxy.All), store.ErrTimeout},
		"a cut before Redis": {faultproxy.CutBefore(faultproxy.FIN).On(faultproxy.All), store.ErrUnreachable},
	} {
		p.Set(c.fault)
		p.KillConns(faultproxy.RST)
		for i := range tripAfter {
			if err := s.Ping(t.Context()); err == nil || isOpen(err) {
				t.Errorf("%s: call %d: %v", what, i, err)
			}
		}
		opened := eventually(t, "the breaker opens", s.BreakerOpen)
		if opened > timeout/2+250*time.Millisecond+machine.Max() {
			t.Errorf("%s: the breaker opened %v after the last of the failures", what, opened)
		}
		for name, call := range calls(s) {
			began := time.Now()
			if err := call(t.Context()); !isOpen(err) || !errors.Is(err, c.kind) {
				t.Errorf("%s: %s: %v", what, name, err)
			}
			if took := time.Since(began); took > 100*time.Millisecond+machine.Max() {
				t.Errorf("%s: %s took %v with the breaker open", what, name, took)
			}
		}
		p.Heal()
		if took := untilUp(t, s); took > 1500*time.Millisecond+machine.Max() {
			t.Errorf("%s: the first good answer came after %v", what, took)
		}
	}
}

// A Redis that is slow but answers in time closes the breaker too, although the
// short questions are in vain.
func TestBreakerFindsASlowRedis(t *testing.T) {
	p := faultproxy.Start(t, redistest.Start(t).Addr())
	p.Set(faultproxy.Refuse())
	s := newStore(t, "redis://"+p.Addr(), 4*probeTimeout)
	trip(t, s)
	p.Set(faultproxy.Latency(probeTimeout + 50*time.Millisecond).On(faultproxy.Names("PING")))
	untilUp(t, s)
}

// What says nothing about Redis, and what Redis says itself, opens no breaker.
func TestBreakerStaysClosed(t *testing.T) {
	Slow(t)
	s, p := newProxied(t)
	closed := func(what string) {
		t.Helper()
		p.Heal()
		if err := s.Ping(t.Context()); err != nil {
			t.Errorf("after %s: %v", what, err)
		}
	}
	for range 2 * tripAfter {
		_, _ = s.Conversation(t.Context(), owner, uuid.NewString(), store.Range{})
	}
	closed("absent conversations")
	p.Set(faultproxy.LoseReply().On(faultproxy.All))
	for range 2 * tripAfter {
		ctx, leave := context.WithCancel(t.Context())
		sent := p.Saw(faultproxy.All)
		done := make(chan error)
		go func() { done <- s.Ping(ctx) }()
		<-sent
		leave()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("a client that left: %v", err)
		}
	}
	closed("clients that left")
	for _, reply := range []string{
		faultproxy.Error("OOM command not allowed"), faultproxy.Error("LOADING"), faultproxy.Error("ERR unforeseen"),
		faultproxy.GarbageHTTP, faultproxy.WrongInteger,
	} {
		p.Set(faultproxy.Answer(reply))
		for range 2 * tripAfter {
			if _, err := s.Conversation(t.Context(), owner, uuid.NewString(), store.Range{}); err == nil || isOpen(err) {
				t.Errorf("%q: %v", reply, err)
			}
		}
		closed(reply)
	}
}

// A store that is closed while it looks for Redis ends at once and leaves
// nothing behind.
func TestCloseWhileOpen(t *testing.T) {
	machine := latency.Watch(t)
	before := goleak.IgnoreCurrent()
	l := faultproxy.Start(t, "127.0.0.1:1")
	l.Set(faultproxy.Refuse())
	s, err := New(Options{URL: "redis://" + l.Addr(), Timeout: timeout})
	if err != nil {
		t.Fatal(err)
	}
	trip(t, s)
	began := time.Now()
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if took := time.Since(began); took > timeout/2+machine.Max() {
		t.Errorf("closing took %v", took)
	}
	l.Close()
	goleak.VerifyNone(t, before)
}

// When a server ends idle connections over TLS, which the client library cannot
// see beforehand, no call of any kind fails for it.
func TestDeadConnections(t *testing.T) {
	certs := faultproxy.NewCertificates(t)
	p := faultproxy.Start(t, redistest.Start(t).Addr(), faultproxy.WithTLS(certs.Good))
	s, err := New(Options{URL: "rediss://" + p.Addr(), RootCAs: certs.Pool, Timeout: 5 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	for op := range calls(s) {
		turn, err := s.BeginTurn(t.Context(), store.Begin{Owner: owner, Conversation: "c", New: true, Fingerprint: op})
		if err == nil { // a delete says that it does not know when there is nothing to delete
			err = s.CompleteTurn(t.Context(), turn, store.Completion{UpstreamID: "u"})
		}
		if errors.As(err, new(*store.Error)) { // any other error says that it is there
			t.Fatal(err)
		}
		atOnce(p, faultproxy.Names("HGET"), 4, func() { _ = s.Ping(t.Context()) })
		p.KillConns(faultproxy.FIN)
		if err := calls(s)[op](t.Context()); errors.As(err, new(*store.Error)) {
			t.Errorf("%s: %v (%v)", op, err, errors.Unwrap(err))
		}
	}
}

// A delete whose answer was lost says that it does not know, and not that there
// was no such conversation; one that never got there is made.
func TestDeleteLost(t *testing.T) {
	s, p := newProxied(t)
	started := func() string {
		id := uuid.NewString()
		turn, err := s.BeginTurn(t.Context(), store.Begin{Owner: owner, Conversation: id, New: true, Fingerprint: "f"})
		if err == nil {
			err = s.CompleteTurn(t.Context(), turn, store.Completion{UpstreamID: "u"})
		}
		if err != nil {
			t.Fatal(err)
		}
		return id
	}
	id := started()
	if err := s.Delete(t.Context(), owner, id); err != nil { // so that Redis knows the script
		t.Fatal(err)
	}
	id = started()
	p.Set(faultproxy.CutAfter(faultproxy.RST).On(faultproxy.Scripts()).Next(1))
	if err := s.Delete(t.Context(), owner, id); !errors.Is(err, store.ErrUnreachable) {
		t.Errorf("lost answer: %v", err)
	}
	if _, err := s.Conversation(t.Context(), owner, id, store.Range{}); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("after a lost answer: %v", err)
	}
	id = started()
	p.Set(faultproxy.CutBefore(faultproxy.RST).On(faultproxy.Scripts()).Next(1))
	if err := s.Delete(t.Context(), owner, id); err != nil {
		t.Errorf("lost request: %v", err)
	}
}

// Nothing is sent twice by anybody but do: a write whose answer does not come is
// not repeated, and one whose connection breaks is repeated once.
func TestSentOnce(t *testing.T) {
	s, p := newProxied(t)
	id := uuid.NewString()
	begin := func() error {
		_, err := s.BeginTurn(t.Context(), store.Begin{Owner: owner, Conversation: id, New: true, Fingerprint: "f"})
		return err
	}
	_ = begin() // so that Redis knows the script
	for _, c := range []struct {
		what  string
		fault faultproxy.Fault
		came  int
	}{
		{"no answer", faultproxy.LoseReply(), 1},
		{"an answer that makes no sense", faultproxy.AnswerAfter(faultproxy.GarbageHTTP), 1},
		{"a reset after it ran", faultproxy.CutAfter(faultproxy.RST), 2},
		{"a reset in its answer", faultproxy.CutMidReply(1, faultproxy.RST), 2},
		{"read only", faultproxy.Answer(faultproxy.Error("READONLY You can't write against a read only replica.")), 2},
		{"out of memory", faultproxy.Answer(faultproxy.Error("OOM command not allowed")), 1},
	} {
		p.Set(c.fault)
		p.Reset()
		if err := begin(); err == nil {
			t.Errorf("%s: no error", c.what)
		}
		if n := p.Came(faultproxy.Scripts()); n != c.came {
			t.Errorf("%s: sent %d times, want %d", c.what, n, c.came)
		}
		p.Heal()
		untilUp(t, s)
	}
}

// load is how long TestBlackHole asks. It takes a minute for what grows slowly to
// show, so it has a target of its own: make contract.
var load = flag.Duration("redis.blackhole", 0, "how long to ask through a black hole; the test is skipped when 0")

// 32 callers that never stop asking through a black hole: nobody waits longer
// than the timeout, from the moment the breaker is open nobody waits at all, and
// neither memory nor goroutines grow.
func TestBlackHole(t *testing.T) {
	if *load == 0 {
		t.Skip("takes a minute: make contract runs it")
	}
	machine := latency.Watch(t)
	s, p := newProxied(t)
	p.Set(faultproxy.BlackHole(faultproxy.Requests, faultproxy.AllConns))
	var mu sync.Mutex
	var took []time.Duration
	var late atomic.Int64
	var healed atomic.Bool
	began := time.Now()
	ctx, stop := context.WithCancel(t.Context())
	var asking sync.WaitGroup
	for range 32 {
		asking.Go(func() {
			tick := time.NewTicker(25 * time.Millisecond)
			defer tick.Stop()
			for ctx.Err() == nil {
				asked := time.Now()
				_, err := s.BeginTurn(ctx, store.Begin{Owner: owner, Conversation: uuid.NewString(), New: true, Fingerprint: "f"})
				d := time.Since(asked)
				if d > timeout+250*time.Millisecond+machine.Max() || err == nil && !healed.Load() {
					late.Add(1)
				}
				if asked.Sub(began) > 3*timeout {
					mu.Lock()
					took = append(took, d)
					mu.Unlock()
				}
				select {
				case <-tick.C:
				case <-ctx.Done():
				}
			}
		})
	}
	early := <-level(ctx, *load/6)
	end := <-level(ctx, *load*5/6)
	healed.Store(true)
	p.Heal()
	recovered := untilUp(t, s)
	stop()
	asking.Wait()

	if late.Load() > 0 {
		t.Errorf("%d calls took longer than the timeout or succeeded", late.Load())
	}
	slices.Sort(took)
	p99 := took[len(took)*99/100]
	t.Logf("%d calls with the breaker open, p99 %v; back after %v; goroutines %d, then %d; heap %d KiB, then %d KiB",
		len(took), p99, recovered, early.goroutines, end.goroutines, early.heap>>10, end.heap>>10)
	if p99 > 20*time.Millisecond+machine.Max() {
		t.Errorf("p99 with the breaker open is %v", p99)
	}
	if recovered > 1500*time.Millisecond+machine.Max() {
		t.Errorf("the first good answer came after %v", recovered)
	}
	if end.goroutines > early.goroutines+10 {
		t.Errorf("goroutines grew from %d to %d", early.goroutines, end.goroutines)
	}
	if end.heap > early.heap+4<<20 {
		t.Errorf("the heap grew from %d to %d bytes", early.heap, end.heap)
	}
}

// usage is what the process holds.
type usage struct {
	goroutines int
	heap       uint64
}

// level looks at what the process holds after a while.
func level(ctx context.Context, after time.Duration) <-chan usage {
	out := make(chan usage, 1)
	timer := time.NewTimer(after)
	go func() {
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ctx.Done():
		}
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		out <- usage{runtime.NumGoroutine(), m.HeapAlloc}
	}()
	return out
}
