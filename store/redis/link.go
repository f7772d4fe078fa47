package redis

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"parley/store"
)

const (
	// tripAfter failures of the transport in a row, the breaker answers for Redis.
	tripAfter = 5
	// probePause is between two questions whether Redis is back.
	probePause = 250 * time.Millisecond
	// probeLimit is how long one question may wait. It has to be short, or the
	// answer to "is it back" would be as old as the last question that got lost.
	probeLimit = 500 * time.Millisecond
)

// errOpen stands for Redis while the breaker is open.
var errOpen = errors.New("redis: breaker is open")

// link is the way to Redis: a client of the library and a breaker around it.
//
// The breaker trips after tripAfter failures of the transport in a row. From
// then on calls fail at once, and no request of a user is spent on finding out
// whether Redis is back: the link asks by itself, each time with a new client,
// and the first one that gets an answer takes the place of the old. With it go
// all connections that lead nowhere, each of which would cost a call its whole
// budget, and the library's own pause after failed dials, a second long.
type link struct {
	dial    func() *goredis.Client // makes a client; connects nothing yet
	timeout time.Duration
	current atomic.Pointer[line]

	life    context.Context
	end     context.CancelFunc
	mu      sync.Mutex // held to replace current, and to begin what close waits for
	running sync.WaitGroup
}

// line is one client, and how it and those it stands in for have fared.
type line struct {
	*goredis.Client
	*record
}

// record is what the breaker goes by.
type record struct {
	failures atomic.Int32 // of the transport, in a row
	open     atomic.Bool
}

func newLink(timeout time.Duration, dial func() *goredis.Client) *link {
	l := &link{dial: dial, timeout: timeout}
	l.life, l.end = context.WithCancel(context.Background())
	l.current.Store(&line{dial(), &record{}})
	return l
}

// get gives the line to use, or errOpen.
func (l *link) get() (*line, error) {
	ln := l.current.Load()
	if ln.open.Load() {
		return nil, errOpen
	}
	return ln, nil
}

// report tells how a call on a line went, by the error that its caller gets. An
// answer of any kind, also a refusal, says that the transport works. A client
// that left says nothing, and neither does a pool without a free connection:
// whoever holds those will tell.
func (l *link) report(ln *line, err error) {
	var outage *store.Error
	switch {
	case !errors.As(err, &outage):
		if !errors.Is(err, context.Canceled) {
			ln.failures.Store(0)
		}
	case errors.Is(outage.Kind, store.ErrUnreachable), errors.Is(outage.Kind, store.ErrTimeout):
		if ln.failures.Add(1) >= tripAfter {
			l.trip(ln)
		}
	case errors.Is(outage.Kind, store.ErrPoolExhausted), errors.Is(outage.Kind, store.ErrProtocol):
	default:
		ln.failures.Store(0)
	}
}

// trip opens the breaker and sees to it that it is closed again.
func (l *link) trip(ln *line) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.life.Err() == nil && ln.open.CompareAndSwap(false, true) {
		l.running.Go(l.mend)
	}
}

// mend asks until Redis answers and then replaces the broken line. Beside the
// short questions there is always a patient one, so that a Redis that is merely
// slow is found as well.
func (l *link) mend() {
	ctx, found := context.WithCancel(l.life)
	defer found()
	next := make(chan *goredis.Client)
	var asking sync.WaitGroup
	for _, limit := range []time.Duration{min(probeLimit, l.timeout), l.timeout} {
		asking.Go(func() { l.ask(ctx, limit, next) })
	}
	select {
	case c := <-next:
		l.mu.Lock()
		broken := l.current.Swap(&line{c, &record{}})
		l.mu.Unlock()
		found()
		asking.Wait()
		l.retire(broken)
	case <-ctx.Done(): // close waits, and closes what there is
		asking.Wait()
	}
}

// renew replaces a line one of whose connections turned out to be dead: when a
// Redis restarts or fails over, all are. The record stays.
func (l *link) renew(ln *line) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.life.Err() == nil && l.current.Load() == ln {
		l.current.Store(&line{l.dial(), ln.record})
		l.running.Go(func() { l.retire(ln) })
	}
}

// retire closes a line that has been replaced, once the calls that began on it
// must have ended.
func (l *link) retire(ln *line) {
	linger := time.NewTimer(l.timeout)
	defer linger.Stop()
	select {
	case <-linger.C:
	case <-l.life.Done():
	}
	_ = ln.Close()
}

// ask tries again and again to get an answer within limit, and hands over the
// first client that did.
func (l *link) ask(ctx context.Context, limit time.Duration, next chan<- *goredis.Client) {
	pause := time.NewTicker(probePause)
	defer pause.Stop()
	for ctx.Err() == nil {
		c := l.dial()
		if answers(ctx, c, limit) {
			select {
			case next <- c:
				return
			case <-ctx.Done():
			}
		}
		_ = c.Close()
		select {
		case <-pause.C:
		case <-ctx.Done():
		}
	}
}

// answers reports whether Redis says anything to a PING, also a refusal: what it
// says is then told to every caller by its own call.
func answers(ctx context.Context, c *goredis.Client, limit time.Duration) bool {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	err := contain(func() error { return c.Ping(ctx).Err() })
	var refusal goredis.Error
	return err == nil || errors.As(err, &refusal) && !goredis.IsMaxClientsError(refusal)
}

// close ends all that runs in the background and closes the client.
func (l *link) close() error {
	l.mu.Lock()
	l.end()
	l.mu.Unlock()
	l.running.Wait()
	return l.current.Load().Close()
}
