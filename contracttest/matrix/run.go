package matrix

import (
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"parley/contracttest/claims"
)

// errHeld says that a turn of nobody's still holds the conversation.
var errHeld = errors.New("a turn holds the conversation")

// errLate says that the service found the store too slow for its timeout, which is
// short in some columns. On a machine that stalls for as long, it says so rightly, and
// nothing is known of what is kept.
var errLate = errors.New("it was answered 503")

// column is one column: something that can be asked while the fault stands.
// Each has keys, a service and an agent of its own, so that all of them can be
// asked at the same time and none can be helped or harmed by another.
type column interface {
	name() string
	expect(r Row) Expect
	// prepare makes a conversation with a turn that was acknowledged.
	prepare() error
	// approach goes as far as the fault is awaited at: for a commit, until the
	// turn is begun and the agent asked.
	approach() error
	// sends is what fire asks for, in words.
	sends() string
	// fire asks, and tells what came of it.
	fire() outcome
	// works asks for anything that needs what the fault took away, and within is
	// how soon after the fault it has to succeed.
	works() error
	within() time.Duration
	// verify repeats what was fired and finds out whether anything was lost,
	// doubled or invented.
	verify(fired outcome) error
	// persists says that the service itself tries again for as long as the request
	// may take: an answer that the agent has given is not thrown away.
	persists() bool
	// prefix is what all its keys begin with.
	prefix() string
}

// outcome is how a call ended.
type outcome struct {
	status int    // of HTTP; 0 for the store
	class  string // "" for success
	took   time.Duration
	fault  error // what is wrong with the answer apart from its class
}

// Run checks a row against a target, in as many rounds as are asked for, and
// tells what came. Rows that a Redis of somebody else's would suffer from start
// their own. It is the caller who fails the test.
func Run(tb testing.TB, t Target, shared Redis, r Row, secure bool, rounds int) []Cell {
	tb.Helper()
	var cells []Cell
	for range rounds {
		cells = merge(cells, once(tb, t, shared, r, secure))
	}
	return cells
}

// once checks a row once.
func once(tb testing.TB, t Target, shared Redis, r Row, secure bool) []Cell {
	tb.Helper()
	if r.try != nil {
		return r.try(newTestbed(tb, t, shared, r, secure), t)
	}
	all := columns(t)
	size := len(all)
	if secure {
		size = batch
	}
	var cells []Cell
	for some := range slices.Chunk(all, size) {
		cells = append(cells, tryColumns(tb, t, shared, r, secure, some)...)
	}
	return cells
}

// batch is how many columns are tried at the same time over TLS. To shake hands is
// work, and each of their services does so again and again while the fault stands:
// on a slow machine all of them would keep each other from connecting.
const batch = 4

// tryColumns checks some columns of a row, all at the same time.
func tryColumns(tb testing.TB, t Target, shared Redis, r Row, secure bool, some []newColumn) []Cell {
	tb.Helper()
	bed := newTestbed(tb, t, shared, r, secure)
	columns := make([]column, len(some))
	for i, add := range some {
		columns[i] = add(bed, t)
	}
	cells, fired := make([]Cell, len(columns)), make([]outcome, len(columns))
	each := func(f func(i int, s column, c *Cell)) {
		var asking sync.WaitGroup
		for i, s := range columns {
			asking.Go(func() { f(i, s, &cells[i]) })
		}
		asking.Wait()
	}
	each(func(_ int, s column, c *Cell) {
		*c = Cell{Row: r.ID, Fault: r.Fault, Column: s.name(), Expected: t.seen(s.expect(r)), Secure: secure, Sent: s.sends()}
		if !r.Cold {
			c.fail("before the fault", claims.Healthy, patiently(s.prepare))
			c.fail("before the fault", claims.Healthy, patiently(s.approach))
		}
	})
	r.inject(bed)
	bed.proxy.Reset()
	each(func(i int, s column, c *Cell) {
		fired[i] = s.fire()
		bound, bounded := bed.bound(s)
		c.judge(fired[i], bound, bounded)
	})
	if t.Lacks.Has(claims.Once) {
		for i, s := range columns {
			cells[i].executed(bed.executions(s), bed.repeats(s))
		}
	}
	if r.Forever {
		return cells
	}
	bed.end()
	healed := time.Now()
	if t.Lacks.Has(claims.Recovers) {
		each(func(_ int, s column, c *Cell) { c.recover(healed, s, bed.limits) })
	}
	if r.Cold {
		return cells // there was nothing before that could have been lost
	}
	each(func(i int, s column, c *Cell) { c.fail("after the fault", claims.Kept, bed.verify(s, fired[i])) })
	return cells
}

// patiently tries again what only makes ready: on a machine that stalls for
// longer than Timeout, the store rightly says so, and it is not yet the time to.
func patiently(prepare func() error) error {
	for began := time.Now(); ; {
		if err := prepare(); err == nil || time.Since(began) > Patience {
			return err
		}
	}
}

// verify lets the leases of turns that nobody runs any more lapse, which would
// take some seconds, and then has the column find out what is left. A begin
// that was under way for longer than its caller waited may take another one.
func (bed *testbed) verify(s column, fired outcome) error {
	for began := time.Now(); ; {
		bed.lapse(s)
		err, since := s.verify(fired), time.Since(began)
		again := errors.Is(err, errHeld) && since <= bed.Lease || errors.Is(err, errLate) && since <= Patience
		if !again {
			return err
		}
	}
}
