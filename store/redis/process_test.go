package redis

import (
	"context"
	"errors"
	"fmt"
	"net"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"parley/contracttest/redistest"
	"parley/store"
)

// burn has so many goroutines for each processor want it all the time. Each is
// stopped after 10 ms, so that everybody else waits for about n times as long.
func burn(t *testing.T, n int) {
	t.Helper()
	var stop atomic.Bool
	var burning sync.WaitGroup
	for range n * runtime.GOMAXPROCS(0) {
		burning.Go(func() {
			for !stop.Load() {
			}
		})
	}
	t.Cleanup(func() { stop.Store(true); burning.Wait() })
}

// outcomes has some callers make calls for so long, and counts what came of them.
func outcomes(t *testing.T, s *Store, lasting time.Duration) map[string]int {
	t.Helper()
	var mu sync.Mutex
	got := map[string]int{}
	began := time.Now()
	var calling sync.WaitGroup
	for i := range 4 {
		calling.Go(func() {
			for time.Since(began) < lasting {
				err := s.Ping(t.Context())
				if i%2 == 0 {
					_, err = s.Conversation(t.Context(), owner, "none", store.Range{})
				}
				kind := "answered"
				if e, ok := errors.AsType[*store.Error](err); ok {
					kind = e.Kind.Error()
				}
				mu.Lock()
				got[kind]++
				mu.Unlock()
			}
		})
	}
	calling.Wait()
	return got
}

// A process that waits for processors longer than its calls may take blames itself,
// and its breaker stays shut: Redis is well.
func TestStarvedProcess(t *testing.T) {
	Slow(t)
	redis := redistest.Start(t)
	for _, n := range []int{10, 40} {
		t.Run(fmt.Sprintf("%d wait for each processor", n), func(t *testing.T) {
			s := newStore(t, redis.URL(), timeout)
			if err := s.Ping(t.Context()); err != nil {
				t.Fatal(err)
			}
			burn(t, n)
			got := outcomes(t, s, 4*time.Second)
			for kind := range got {
				if kind != "answered" && kind != store.ErrOverloaded.Error() {
					t.Errorf("Redis is blamed: %v", got)
				}
			}
			if s.BreakerOpen() {
				t.Error("the breaker is open")
			}
			t.Log(got)
		})
	}
}

// On a busy machine a Redis that hangs is still what is at fault.
func TestHungRedisAndBusyProcess(t *testing.T) {
	Slow(t)
	redis := redistest.Start(t)
	s := newStore(t, redis.URL(), 2*time.Second)
	if err := s.Ping(t.Context()); err != nil {
		t.Fatal(err)
	}
	burn(t, 10)
	redis.Stop(t)
	defer redis.Continue(t)
	got := outcomes(t, s, 4*time.Second)
	if len(got) != 1 || got[store.ErrTimeout.Error()] == 0 {
		t.Errorf("%v", got)
	}
	eventually(t, "the breaker opens", s.BreakerOpen)
	t.Log(got)
}

// What came before a read was out of time is read, however late that is.
func TestReadWhatCameMeanwhile(t *testing.T) {
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	for what, reply := range map[string]string{"a reply": "+OK\r\n", "nothing": ""} {
		raw, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		other, err := listener.Accept()
		if err != nil {
			t.Fatal(err)
		}
		conn := limitReplies(raw)
		if _, err := conn.Write([]byte("PING\r\n")); err != nil {
			t.Fatal(err)
		}
		if _, err := other.Write([]byte(reply)); err != nil {
			t.Fatal(err)
		}
		if err := conn.SetReadDeadline(time.Unix(1, 0)); err != nil {
			t.Fatal(err)
		}
		b := make([]byte, 100)
		n, err := conn.Read(b)
		if string(b[:n]) != reply || (err == nil) != (reply != "") || reply == "" && !isTimeout(err) {
			t.Errorf("%s: read %q, %v", what, b[:n], err)
		}
		_ = conn.Close()
		_ = other.Close()
	}
}

// A wait of an eighth of a call's time is long enough to be at fault, as far as it was
// within that time.
func TestStarved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &process{}
		ctx, cancel := context.WithCancel(t.Context())
		var watching sync.WaitGroup
		watching.Go(func() { p.watch(ctx) })
		time.Sleep(time.Second)
		cancel()
		watching.Wait()
		ago := func(d time.Duration) time.Time { return time.Now().Add(-d * time.Millisecond) }
		if p.starved(ago(1000)) || (*process)(nil).starved(ago(1000)) {
			t.Error("a process that was never late is")
		}
		p.expect(ago(900))
		p.ran(ago(700))
		p.expect(ago(-100))
		for since, want := range map[time.Duration]bool{600: false, 720: false, 850: true, 900: true, 1500: true, 1700: false} {
			if got := p.starved(ago(since)); got != want {
				t.Errorf("late until 700 ms ago, from %d ms ago on: %v", since, got)
			}
		}
		p = &process{}
		p.expect(ago(100))
		if !p.starved(ago(600)) || p.starved(ago(810)) || !p.starved(ago(50)) {
			t.Error("what waits now does not count, or for longer than it waits")
		}
	})
}
