package entra

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"parley/contracttest/latency"
	"parley/store"
	"parley/store/redis"
)

const (
	life    = 6 * time.Second // of the tokens of these tests
	callers = 8               // at the same time
	// timeout of a call is longer than any machine stands still.
	timeout = 10 * time.Second
)

// slow skips a test that takes many seconds, where nobody asked for those.
func slow(t *testing.T) {
	t.Helper()
	if os.Getenv("PARLEY_SLOW") == "" {
		t.Skip("takes many seconds: make race runs it")
	}
}

// failure of a call.
type failedCall struct {
	at   time.Time
	took time.Duration
	err  error
}

// service is a store under load, whose credentials are tokens.
type service struct {
	*azure
	issuer *issuer
	source *Source
	store  *redis.Store

	mu     sync.Mutex
	calls  int
	failed []failedCall
	said   strings.Builder // everything that leaves the store for logs and spans
}

// startService starts one. credentials is what the store is given of a Source.
func startService(t *testing.T, credentials func(*service) func(context.Context) (redis.Credentials, error)) *service {
	t.Helper()
	i := newIssuer(t)
	i.life = life
	s := &service{issuer: i, azure: startAzure(t, i)}
	o := i.options(t, ClientSecret)
	o.Told = func(e Event) { s.say(e) }
	var err error
	if s.source, err = New(o); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.source.Close)
	s.store, err = redis.New(redis.Options{
		URL: "rediss://" + s.addr, RootCAs: s.certs.Pool, Timeout: timeout, Prefix: uuid.NewString() + ":",
		Credentials: credentials(s),
		Trace: redis.Trace{
			RoundTrip: func(_ context.Context, r redis.RoundTrip) { s.say(r) },
			Dialed:    func(_ context.Context, _ time.Duration, err error) { s.say(err) },
			Breaker:   func(e redis.BreakerEvent) { s.say(e) },
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.store.Close() })
	s.await(t, "the first token", time.Minute, func() bool { return s.store.Ping(t.Context()) == nil })
	return s
}

// good is what a Source gives.
func good(s *service) func(context.Context) (redis.Credentials, error) { return s.source.Credentials }

// say notes what leaves the store, unless it is a success, of which there are many.
func (s *service) say(v any) {
	if r, ok := v.(redis.RoundTrip); v == nil || ok && r.Err == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	_, _ = fmt.Fprintf(&s.said, "%+v %#v\n", v, v)
	if err, ok := v.(error); ok {
		if e, ok := errors.AsType[*store.Error](err); ok {
			_, _ = fmt.Fprintf(&s.said, "%+v\n", e.Cause)
		}
	}
}

// load has callers take turns until stop is called.
func (s *service) load(t *testing.T) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	for n := range callers {
		running.Go(func() {
			owner := store.Owner{Tenant: "t", User: fmt.Sprint(n)}
			pace := time.NewTicker(20 * time.Millisecond)
			defer pace.Stop()
			for ctx.Err() == nil {
				id := uuid.NewString()
				began := time.Now()
				turn, err := s.store.BeginTurn(context.Background(), store.Begin{Owner: owner, Conversation: id, New: true, Fingerprint: "f"})
				if err == nil {
					err = s.store.CompleteTurn(context.Background(), turn, store.Completion{UpstreamID: "u"})
				}
				s.note(began, err)
				<-pace.C
			}
		})
	}
	return func() {
		cancel()
		running.Wait()
	}
}

func (s *service) note(began time.Time, err error) {
	if err != nil {
		s.say(err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls++
	if err != nil {
		s.failed = append(s.failed, failedCall{began, time.Since(began), err})
	}
}

// failures are the calls that failed so far, of how many.
func (s *service) failures() (failed []failedCall, calls int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]failedCall{}, s.failed...), s.calls
}

// await waits until a condition holds and returns how long that took.
func (s *service) await(t *testing.T, what string, atMost time.Duration, holds func() bool) time.Duration {
	t.Helper()
	began := time.Now()
	for tick := time.Tick(5 * time.Millisecond); ; <-tick {
		took := time.Since(began)
		if holds() {
			return took
		}
		if took > atMost {
			t.Fatalf("not after %v: %s", took, what)
		}
	}
}

// issuedAfter waits until so many more tokens have been issued.
func (s *service) issuedAfter(t *testing.T, more int) {
	t.Helper()
	before, _ := s.tokens()
	s.await(t, "another token", time.Minute, func() bool { now, _ := s.tokens(); return len(now) >= len(before)+more })
}

// passes waits until a moment.
func (s *service) passes(t *testing.T, at time.Time) {
	t.Helper()
	timer := time.NewTimer(time.Until(at))
	defer timer.Stop()
	<-timer.C
}

// none fails the test if a call failed, and if nothing was called.
func (s *service) none(t *testing.T) {
	t.Helper()
	failed, calls := s.failures()
	t.Logf("%d of %d calls failed; %v", len(failed), calls, s.azure)
	if len(failed) > 0 || calls < 100 {
		first := append(failed, failedCall{})[0]
		_, end := s.tokens()
		t.Errorf("%d of %d calls failed, the first after %v, %v before the last token ends: %v", len(failed), calls, first.took, end.Sub(first.at), first.err)
	}
}

// secretive fails the test if a token is in anything that leaves the store.
func (s *service) secretive(t *testing.T) {
	t.Helper()
	tokens, _ := s.tokens()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, token := range tokens {
		for _, part := range strings.Split(token, ".")[1:] {
			if strings.Contains(s.said.String(), part) {
				t.Fatal("a token is in an error or an event")
			}
		}
	}
}

// Tokens rotate under load and no call fails, although the server closes every
// connection whose token has expired.
func TestRotation(t *testing.T) {
	slow(t)
	t.Parallel()
	machine := latency.Watch(t)
	s := startService(t, good)
	stop := s.load(t)
	s.issuedAfter(t, 3)
	_, end := s.tokens()
	s.passes(t, end.Add(-life/2)) // the tokens before it have expired
	stop()
	s.none(t)
	s.secretive(t)
	s.azure.mu.Lock()
	defer s.azure.mu.Unlock()
	// All that are in use, once. On a machine that is late, a connection is used late.
	if s.ended >= callers && machine.Max() < life/20 {
		t.Errorf("the server closed %d connections whose token had expired: they are not replaced in time", s.ended)
	}
}

// The source is away, the token is still good: no call fails.
func TestSourceAwayWhileTheTokenIsGood(t *testing.T) {
	slow(t)
	for name, cut := range map[string]bool{"connections stay": false, "connections are cut": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := startService(t, good)
			s.away(t, s.load(t), cut)
			s.none(t)
			s.secretive(t)
		})
	}
}

// away has the source be away from before a token is to be refreshed until shortly
// before its end, and stops the load.
func (s *service) away(t *testing.T, stop func(), cut bool) {
	t.Helper()
	s.issuedAfter(t, 1)
	s.issuer.breaks(hangUp)
	_, end := s.tokens()
	s.await(t, "a refresh fails", time.Minute, func() bool { return s.source.Failure() != nil })
	back := end.Add(-life/20 - 3*urgentPause)
	for at := time.Now(); cut && at.Before(back); at = at.Add(life / 20) {
		s.passes(t, at)
		s.cut()
	}
	s.passes(t, back)
	s.issuer.breaks(nil)
	s.await(t, "tokens come again", time.Minute, func() bool { return s.source.Failure() == nil })
	s.issuedAfter(t, 1)
	stop()
}

// A store that gives up connections with a good token because a refresh failed fails
// what the right one does not: the test above would find it.
func TestMutantThatGivesUpGoodConnections(t *testing.T) {
	slow(t)
	t.Parallel()
	s := startService(t, func(s *service) func(context.Context) (redis.Credentials, error) {
		return func(ctx context.Context) (redis.Credentials, error) {
			if err := s.source.Failure(); err != nil {
				s.cut()
				return redis.Credentials{}, err
			}
			return s.source.Credentials(ctx)
		}
	})
	s.away(t, s.load(t), true)
	if failed, calls := s.failures(); len(failed) == 0 {
		t.Errorf("none of %d calls failed", calls)
	}
}

// The source is away for longer than the token is good: calls fail only from its end
// on, at once, with the class of that; the breaker stays closed; and they succeed soon
// after the source is back.
func TestSourceAwayForLonger(t *testing.T) {
	slow(t)
	t.Parallel()
	machine := latency.Watch(t)
	s := startService(t, good)
	stop := s.load(t)
	s.issuedAfter(t, 1)
	s.issuer.breaks(says(503, "", "away"))
	_, end := s.tokens()
	s.passes(t, end.Add(life))
	if err := s.store.Ping(t.Context()); !errors.Is(err, store.ErrCredentials) {
		t.Errorf("what health asks is answered %v", err)
	}
	if s.store.BreakerOpen() {
		t.Error("the breaker is open")
	}
	failed, _ := s.failures()
	s.issuer.breaks(nil)
	took := s.await(t, "a call succeeds", time.Minute, func() bool { return s.store.Ping(t.Context()) == nil })
	t.Logf("back after %v; %v", took, s.azure)
	if took > 3*urgentPause+machine.Max() {
		t.Errorf("back %v after the source", took)
	}
	back, _ := s.failures()
	s.issuedAfter(t, 2)
	stop()
	if len(failed) == 0 {
		t.Fatal("no call failed")
	}
	early := end.Add(-life / 20) // how much earlier than the server we count it as expired
	for i, f := range failed {
		// A call that was on its way at the end may find its connection closed.
		if !errors.Is(f.err, store.ErrCredentials) || f.at.Add(f.took).Before(early.Add(-100*time.Millisecond)) {
			t.Fatalf("failure %d of %d, %v before the end of the token: %v", i, len(failed), end.Sub(f.at), f.err)
		}
		if f.took > time.Second+machine.Max() {
			t.Errorf("a call was told after %v", f.took)
		}
	}
	if after, _ := s.failures(); len(after) > len(back)+callers {
		t.Errorf("%d calls failed after tokens came again, last %v", len(after)-len(back), after[len(after)-1].err)
	}
	s.secretive(t)
}
