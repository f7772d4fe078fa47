package redis

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	goredis "github.com/redis/go-redis/v9"

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
	burn(t, 40) // less than that, and no call would find this process starved
	redis.Stop(t)
	defer redis.Continue(t)
	got := outcomes(t, s, 4*time.Second)
	t.Log(got)
	// A call may also find no time to send anything. Nothing is known of Redis from it, so
	// that a probe goes by what was known before.
	timeouts := got[store.ErrTimeout.Error()]
	delete(got, store.ErrOverloaded.Error())
	delete(got, "answered")
	if len(got) != 1 || timeouts == 0 {
		t.Errorf("%v", got)
	}
	eventually(t, "the breaker opens", s.BreakerOpen)
}

// inUse is a client all of whose connections are in use.
func inUse(t *testing.T) *goredis.Client {
	t.Helper()
	rdb := goredis.NewClient(&goredis.Options{Addr: startScripted(t, 1)[0].addr, PoolSize: 1})
	t.Cleanup(func() { _ = rdb.Close() })
	conn := rdb.Conn()
	t.Cleanup(func() { _ = conn.Close() })
	if err := conn.Ping(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	return rdb
}

// A starved process is to blame for a call that ran out of time only where Redis was not
// silent for long, or was heard where there was no connection to hear it on.
func TestExcuse(t *testing.T) {
	t.Parallel()
	const took = 16 * time.Minute // so that what a busy machine adds is nothing
	idle := goredis.NewClient(&goredis.Options{Addr: "redis.test:1"})
	t.Cleanup(func() { _ = idle.Close() })
	full := inUse(t)
	unanswered := func(waited time.Duration) error {
		return fmt.Errorf("redis: %w", &stalledError{os.ErrDeadlineExceeded, 10, 0, waited})
	}
	for name, c := range map[string]struct {
		rdb     *goredis.Client
		kind    error
		cause   error
		starved bool
		heard   bool
		want    error
		stood   bool // starved for most of the time at once
	}{
		"silent for a quarter":          {idle, store.ErrTimeout, unanswered(took / 4), true, false, store.ErrTimeout, false},
		"silent for a sixteenth":        {idle, store.ErrTimeout, unanswered(took / 16), true, false, store.ErrOverloaded, false},
		"silent, and not starved":       {idle, store.ErrTimeout, unanswered(took / 16), false, false, store.ErrTimeout, false},
		"no connection, unheard":        {full, store.ErrPoolExhausted, goredis.ErrPoolTimeout, true, false, store.ErrPoolExhausted, false},
		"no connection, heard":          {full, store.ErrPoolExhausted, goredis.ErrPoolTimeout, true, true, store.ErrOverloaded, false},
		"no connection, not starved":    {full, store.ErrPoolExhausted, goredis.ErrPoolTimeout, false, true, store.ErrPoolExhausted, false},
		"short of time, unheard":        {full, store.ErrTimeout, context.DeadlineExceeded, true, false, store.ErrTimeout, false},
		"short of time, heard":          {full, store.ErrTimeout, context.DeadlineExceeded, true, true, store.ErrOverloaded, false},
		"short of time, free to dial":   {idle, store.ErrTimeout, context.DeadlineExceeded, true, false, store.ErrOverloaded, false},
		"nothing answers, unheard":      {idle, store.ErrTimeout, &net.OpError{Op: "dial", Err: os.ErrDeadlineExceeded}, true, false, store.ErrTimeout, false},
		"nothing answers, heard":        {idle, store.ErrTimeout, &net.OpError{Op: "dial", Err: os.ErrDeadlineExceeded}, true, true, store.ErrOverloaded, false},
		"nothing answers, stood still":  {idle, store.ErrTimeout, &net.OpError{Op: "dial", Err: os.ErrDeadlineExceeded}, true, false, store.ErrOverloaded, true},
		"silent, and stood still":       {idle, store.ErrTimeout, unanswered(took / 4), true, false, store.ErrTimeout, true},
		"no connection, stood still":    {full, store.ErrPoolExhausted, goredis.ErrPoolTimeout, true, false, store.ErrPoolExhausted, true},
		"refused, which took no time":   {idle, store.ErrUnreachable, io.EOF, true, false, store.ErrUnreachable, false},
		"the breaker, which took none":  {idle, store.ErrTimeout, &openError{kind: store.ErrTimeout}, true, false, store.ErrTimeout, false},
		"an answer, however late it is": {idle, store.ErrFull, goredis.ErrPoolTimeout, true, true, store.ErrFull, false},
	} {
		now := time.Now()
		p := &process{}
		if c.starved {
			p.expect(now.Add(-took / 2))
			p.ran(now.Add(-took / 8))
		}
		if c.stood {
			p.expect(now.Add(-took * 3 / 4))
			p.ran(now.Add(-took / 8))
		}
		p.expect(now.Add(took))
		cl := &client{c.rdb, &state{began: now.Add(-2 * took), process: p}}
		if c.heard {
			cl.hear()
		}
		if err := cl.excuse(&store.Error{Op: "List", Kind: c.kind, Cause: c.cause}, now.Add(-took)); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
}

// A server that takes a connection and is silent is at fault, whoever else is.
func TestSilentServerAndStarvedProcess(t *testing.T) {
	t.Parallel()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() }) // nobody accepts: the system does
	for _, scheme := range []string{"redis://", "rediss://"} {
		t.Run(scheme, func(t *testing.T) {
			t.Parallel()
			s := newStore(t, scheme+listener.Addr().String(), time.Second)
			s.process.close()
			s.process.expect(time.Now().Add(-time.Hour)) // and it did not run since
			for name, call := range calls(s) {
				if err := call(t.Context()); !errors.Is(err, store.ErrTimeout) {
					t.Errorf("%s: %v", name, err)
				}
			}
		})
	}
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
