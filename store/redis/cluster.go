package redis

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"parley/store"
	"parley/store/internal/wire"
)

const (
	// mapAge is after how long the map is asked for again although nothing is amiss.
	mapAge = 10 * time.Second
	// mapRetry is the same while a slot has no primary, or a breaker is open.
	mapRetry = 500 * time.Millisecond
	// mapPause is the shortest time between two such questions.
	mapPause = 100 * time.Millisecond
)

var (
	// errUncovered says that no node has the slot of an owner.
	errUncovered = errors.New("redis: nobody has the slot")
	// errNoSlots says that the nodes that answer know of no primary.
	errNoSlots = errors.New("redis: the nodes know of no slots")
	// errManyNodes says that redirects led to more nodes than a cluster has.
	errManyNodes = errors.New("redis: more nodes than a cluster has")
)

// cluster is the topology of a Store with many primaries. It keeps a map of the slots
// of its own, made of what several nodes say (vote), and a node for each primary.
type cluster struct {
	maker   *maker
	dial    func(addr string) dialFunc
	seeds   []string // are always asked
	timeout time.Duration

	current atomic.Pointer[slotMap] // nil before the first
	doubted chan struct{}           // has a place for one wish for a new map

	mu      sync.Mutex
	table   map[string]*node // by address; those of the map, and where redirects led
	failure error            // why there is no map; nil before the first try
	tried   chan struct{}    // closed by the first try
	leaving map[*node]bool   // not in the table any more, and calls may still use them
	gone    Pool             // what the pools of those before them have counted

	askers map[string]*asker // of the goroutine that makes the map
	turn   int               // how many maps were made; decides who is asked

	life    context.Context // ends with close
	end     context.CancelFunc
	running sync.WaitGroup
}

func newCluster(m *maker, dial func(addr string) dialFunc, seeds []string) *cluster {
	c := &cluster{
		maker: m, dial: dial, seeds: seeds, timeout: m.timeout, doubted: make(chan struct{}, 1),
		table: map[string]*node{}, leaving: map[*node]bool{}, tried: make(chan struct{}), askers: map[string]*asker{},
	}
	c.life, c.end = context.WithCancel(context.Background())
	c.running.Go(c.keepMap)
	return c
}

// at implements topology.
func (c *cluster) at(ctx context.Context, o store.Owner) (*node, error) {
	m, err := c.known(ctx)
	if err != nil {
		return nil, err
	}
	n := m.at(slotOf(wire.OwnerTag(o)))
	if n == nil {
		c.doubt()
		return nil, errUncovered
	}
	return n, nil
}

// all implements topology.
func (c *cluster) all(ctx context.Context) ([]part, error) {
	m, err := c.known(ctx)
	if err != nil {
		return nil, err
	}
	return m.parts(), nil
}

// slots implements topology.
func (c *cluster) slots() int { return slotCount }

// known is the map. Only the first calls wait, for the first try to make one. As long
// as there is none, the others are told at once why.
func (c *cluster) known(ctx context.Context) (*slotMap, error) {
	if m := c.current.Load(); m != nil {
		return m, nil
	}
	c.doubt()
	select {
	case <-c.tried:
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-c.life.Done():
		return nil, goredis.ErrClosed
	}
	if m := c.current.Load(); m != nil {
		return m, nil
	}
	return nil, c.noMap()
}

// noMap is why there is no map.
func (c *cluster) noMap() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.failure
}

// nodes implements topology.
func (c *cluster) nodes() []*node {
	if m := c.current.Load(); m != nil {
		return m.primaries
	}
	return nil
}

// doubt wishes for a new map. It does not wait.
func (c *cluster) doubt() {
	select {
	case c.doubted <- struct{}{}:
	default:
	}
}

// doubtBy doubts the map if an error of a call can come from an old one.
func (c *cluster) doubtBy(err error) {
	if fromOldPlace(err) {
		c.doubt()
	}
}

// reach is the node at an address that a redirect names.
func (c *cluster) reach(addr string) (*node, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch n := c.table[addr]; {
	case c.life.Err() != nil:
		return nil, goredis.ErrClosed
	case n != nil:
		n.led = time.Now()
		return n, nil
	case len(c.table) >= 2*MaxNodes:
		return nil, errManyNodes
	}
	n := c.create(addr)
	n.led = time.Now()
	return n, nil
}

// create makes a node and enters it. mu is held.
func (c *cluster) create(addr string) *node {
	n := c.maker.node(addr, c.dial(addr), func(n *node) goredis.Hook { return &redirects{c, n} })
	n.doubt = c.doubtBy
	c.table[addr] = n
	return n
}

// keepMap makes a map when one is wished for, and from then on again and again, until
// close. A store that nobody uses connects to nothing.
func (c *cluster) keepMap() {
	again := time.NewTimer(mapAge)
	again.Stop()
	for {
		select {
		case <-c.doubted:
		case <-again.C:
		case <-c.life.Done():
			return
		}
		pause := time.NewTimer(mapPause)
		c.makeMap()
		if c.amiss() {
			again.Reset(mapRetry)
		} else {
			again.Reset(mapAge)
		}
		select {
		case <-pause.C:
		case <-c.life.Done():
			return
		}
	}
}

// amiss reports whether some calls fail for want of a primary that answers.
func (c *cluster) amiss() bool {
	m := c.current.Load()
	if m == nil {
		return true
	}
	for _, n := range m.primaries {
		if n.current.Load().open.Load() != nil {
			return true
		}
	}
	for _, at := range m.owner {
		if at == 0 {
			return true
		}
	}
	return false
}

// makeMap asks several nodes and has what most of them say be the map.
func (c *cluster) makeMap() {
	answers, err := c.askAround()
	now := c.current.Load()
	b := vote(answers, now)
	if b == nil && err == nil {
		err = errNoSlots
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.life.Err() != nil {
		return
	}
	if b != nil {
		c.adopt(b)
		c.tell(now, c.current.Load())
	} else {
		c.failure = err
	}
	if c.turn++; c.turn == 1 {
		close(c.tried)
	}
}

// tell says what is different about a map, but for slots that were moved from one primary
// to another: somebody does so on purpose, one after the other.
func (c *cluster) tell(before, now *slotMap) {
	if c.maker.trace.Moved == nil || before == nil {
		return
	}
	others := func(n *node) bool { return !slices.Contains(before.primaries, n) }
	if len(now.primaries) != len(before.primaries) || slices.ContainsFunc(now.primaries, others) {
		c.maker.trace.Moved(movedPrimaries)
	}
	switch was, is := slices.Contains(before.owner[:], 0), slices.Contains(now.owner[:], 0); {
	case is && !was:
		c.maker.trace.Moved(movedUncovered)
	case was && !is:
		c.maker.trace.Moved(movedCovered)
	}
}

// adopt has a ballot be the map. Nodes that are no more in it are closed, once the
// calls that began on them must have ended; those where redirects led of late are kept.
// mu is held.
func (c *cluster) adopt(b *ballot) {
	m := &slotMap{}
	places := make([]uint16, len(b.addrs)+1) // in the map, by the place on the ballot
	for slot, at := range b.owner {
		if at > 0 && places[at] == 0 {
			addr := b.addrs[at-1]
			n := c.table[addr]
			if n == nil {
				n = c.create(addr)
			}
			n.shard.Store(int32(len(m.primaries))) //nolint:gosec // at most MaxNodes
			m.primaries = append(m.primaries, n)
			places[at] = uint16(len(m.primaries)) //nolint:gosec // at most MaxNodes
		}
		m.owner[slot] = places[at]
	}
	used := make(map[*node]bool, len(m.primaries))
	for _, n := range m.primaries {
		used[n] = true
	}
	for addr, n := range c.table {
		if !used[n] && time.Since(n.led) > mapAge {
			delete(c.table, addr)
			c.leaving[n] = true
			c.running.Go(func() { c.retire(n) })
		}
	}
	c.current.Store(m)
}

// retire closes a node that has left. What its pools have counted stays counted.
func (c *cluster) retire(n *node) {
	linger := time.NewTimer(c.timeout)
	defer linger.Stop()
	select {
	case <-linger.C:
	case <-c.life.Done():
	}
	_ = n.close()
	c.mu.Lock()
	defer c.mu.Unlock()
	_, counted := n.counted()
	c.gone = c.gone.add(counted)
	delete(c.leaving, n)
}

// pool implements topology.
func (c *cluster) pool() Pool {
	c.mu.Lock()
	defer c.mu.Unlock()
	sum := c.gone
	for n := range c.leaving {
		_, counted := n.counted()
		sum = sum.add(counted)
	}
	for _, n := range c.table {
		sum = sum.add(n.pool())
	}
	return sum
}

// close implements topology.
func (c *cluster) close() error {
	c.mu.Lock()
	c.end()
	c.mu.Unlock()
	c.running.Wait()
	for _, a := range c.askers {
		a.close()
	}
	var errs []error
	for _, n := range c.table {
		errs = append(errs, n.close())
	}
	return errors.Join(errs...)
}
