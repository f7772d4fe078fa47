package entra

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"parley/store"
)

// fake is a token source in virtual time.
type fake struct {
	mu      sync.Mutex    // held to change what follows while the Source runs
	life    time.Duration // of the tokens
	fails   error
	hangs   bool // until the fetch is given up
	repeats bool // gives the token that it gave last
	asked   []time.Time
	last    token
	events  []Event
}

func (f *fake) fetch(ctx context.Context) (token, error) {
	f.mu.Lock()
	f.asked = append(f.asked, time.Now())
	hangs := f.hangs
	f.mu.Unlock()
	if hangs {
		<-ctx.Done()
		return token{}, failure(ctx.Err())
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case f.fails != nil:
		return token{}, f.fails
	case f.repeats:
		return f.last, nil
	}
	f.last = token{secret: strconv.Itoa(len(f.asked)), expires: time.Now().Add(f.life).Round(0)}
	return f.last, nil
}

// set changes how the source is.
func (f *fake) set(fails error, hangs, repeats bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.fails, f.hangs, f.repeats = fails, hangs, repeats
}

func (f *fake) told(e Event) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.events = append(f.events, e)
}

// asks is when the source was asked.
func (f *fake) asks() []time.Time {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.asked)
}

// changes is what the Source told of.
func (f *fake) changes() []Event {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.events)
}

// run runs a test in virtual time, after the first fetch.
func (f *fake) run(t *testing.T, test func(*testing.T, *Source)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s := start(Options{ObjectID: identity, Told: f.told}, f.fetch)
		defer s.Close()
		synctest.Wait()
		test(t, s)
	})
}

// is fails the test unless Credentials gives this token.
func (s *Source) is(t *testing.T, want string) {
	t.Helper()
	got, err := s.Credentials(t.Context())
	if err != nil || got.Password != want || got.User != identity {
		t.Fatalf("the token is %q, want %q (%v)", got.Password, want, err)
	}
	if left := time.Until(got.Expires); left <= 0 {
		t.Fatalf("the token has been over for %v", -left)
	}
}

// isNone fails the test unless there is no token, with this reason, told at once.
func (s *Source) isNone(t *testing.T, reason string) {
	t.Helper()
	began := time.Now()
	_, err := s.Credentials(t.Context())
	e, ok := errors.AsType[*store.Error](err)
	if !ok || !errors.Is(err, store.ErrCredentials) || e.Reason != reason {
		t.Fatalf("the error is %v, want %s", err, reason)
	}
	if took := time.Since(began); took != 0 {
		t.Fatalf("it took %v", took)
	}
}

// pass lets time pass, and what is due then happen.
func pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func TestTokensAreRefreshedAtHalfOfTheirLife(t *testing.T) {
	for _, life := range []time.Duration{10 * time.Second, time.Hour, 24 * time.Hour} {
		f := &fake{life: life}
		f.run(t, func(t *testing.T, s *Source) {
			for n := 1; n < 100; n++ {
				s.is(t, strconv.Itoa(len(f.asks())))
				pass(life / 2)
			}
			for i, at := range f.asks()[1:] {
				if gap := at.Sub(f.asks()[i]); gap < life*3/10 || gap > life*7/10 {
					t.Errorf("a token that lives %v is replaced after %v", life, gap)
				}
			}
			if len(f.changes()) != 0 {
				t.Errorf("events without a failure: %v", f.changes())
			}
		})
	}
}

// The source is away for less than a token lives: nobody notices, and an operator is
// told, once.
func TestSourceAwayWithinTheLifeOfAToken(t *testing.T) {
	f := &fake{life: time.Hour}
	f.run(t, func(t *testing.T, s *Source) {
		f.set(errors.New("away"), false, false)
		for range 25 {
			s.is(t, "1")
			pass(time.Minute)
		}
		pass(20 * time.Minute) // beyond the time of the refresh
		s.is(t, "1")
		if len(f.changes()) != 1 || !errors.Is(f.changes()[0].Err, store.ErrCredentials) || f.changes()[0].Left < 20*time.Minute || s.Failure() == nil {
			t.Fatalf("told of %v", f.changes())
		}
		f.set(nil, false, false)
		pass(longestPause + longestPause/5)
		s.is(t, strconv.Itoa(len(f.asks())))
		if len(f.asks()) == 1 || len(f.changes()) != 2 || f.changes()[1].Err != nil || s.Failure() != nil {
			t.Fatalf("told of %v", f.changes())
		}
	})
}

// The source is away for longer: it is asked for ever, often once there is no token,
// and a token is there soon after it is back.
func TestSourceAwayBeyondTheLifeOfAToken(t *testing.T) {
	f := &fake{life: 10 * time.Second}
	f.run(t, func(t *testing.T, s *Source) {
		f.set(&failed{reason: "away"}, false, false)
		pass(9400 * time.Millisecond)
		s.is(t, "1")
		pass(600 * time.Millisecond)
		s.isNone(t, "away")
		asked := len(f.asks())
		pass(10 * time.Minute)
		if n := len(f.asks()) - asked; n < 900 || n > 1500 {
			t.Errorf("the source was asked %d times in ten minutes", n)
		}
		s.isNone(t, "away")
		f.set(nil, false, false)
		pass(urgentPause + urgentPause/5)
		s.is(t, strconv.Itoa(len(f.asks())))
		if len(f.changes()) != 2 {
			t.Errorf("told of %v", f.changes())
		}
	})
}

// A source that hangs is given up, and asked again.
func TestSourceHangs(t *testing.T) {
	f := &fake{life: time.Minute, hangs: true}
	f.run(t, func(t *testing.T, s *Source) {
		s.isNone(t, errNone.Reason)
		pass(fetchLimit)
		s.isNone(t, "the token source does not answer in time")
		f.set(nil, false, false)
		pass(time.Second)
		s.is(t, "2")
	})
}

// Close does not wait for a source that hangs.
func TestCloseWhileTheSourceHangs(t *testing.T) {
	f := &fake{hangs: true}
	f.run(t, func(t *testing.T, s *Source) {
		began := time.Now()
		s.Close()
		if took := time.Since(began); took != 0 {
			t.Errorf("Close took %v", took)
		}
		if s.Failure() != nil {
			t.Error("that it was given up counts as a failure")
		}
	})
}

// A machine gives the same token until it makes another. It is asked ever sooner, so
// that what is fetched at last has not much less than its whole life.
func TestSourceGivesTheSameToken(t *testing.T) {
	f := &fake{life: 24 * time.Hour}
	f.run(t, func(t *testing.T, s *Source) {
		f.set(nil, false, true)
		pass(23 * time.Hour)
		s.is(t, "1")
		if n := len(f.asks()); n < 3 || n > 15 {
			t.Errorf("asked %d times in 23 hours", n)
		}
		f.set(nil, false, false)
		pass(time.Hour)
		if got, _ := s.Credentials(t.Context()); got.Password == "1" || len(f.changes()) != 0 {
			t.Errorf("the token is %q, events %v", got.Password, f.changes())
		}
		pass(time.Minute)
		if n := len(f.asks()); n > 20 {
			t.Errorf("asked %d times", n)
		}
	})
}

// Pauses double, end at their bound, and are what the source asks for if that is more.
func TestPausesAfterFailures(t *testing.T) {
	f := &fake{life: 24 * time.Hour}
	f.run(t, func(t *testing.T, s *Source) {
		f.set(errors.New("away"), false, false)
		pass(20 * time.Hour)
		want := firstPause
		for i := 2; i+1 < len(f.asks()) && i < 100; i++ {
			if gap := f.asks()[i].Sub(f.asks()[i-1]); gap < want*4/5 || gap > want*6/5 {
				t.Errorf("failure %d: a pause of %v, want about %v", i, gap, want)
			}
			want = min(2*want, longestPause)
		}
		f.set(&failed{reason: "throttled", wait: time.Hour}, false, false)
		pass(time.Hour)
		asks := f.asks()
		gap := asks[len(asks)-1].Sub(asks[len(asks)-2])
		if gap > longestWait*6/5 {
			t.Errorf("a source that asks for an hour is left alone for %v", gap)
		}
	})
	f = &fake{fails: &failed{reason: "throttled", wait: 20 * time.Second}}
	f.run(t, func(t *testing.T, s *Source) {
		pass(time.Minute)
		if gap := f.asks()[1].Sub(f.asks()[0]); gap < 16*time.Second {
			t.Errorf("a source that asks for 20 s is left alone for %v", gap)
		}
	})
}
