package redis

import (
	"context"
	"errors"
	"net"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"

	"parley/contracttest/latency"
	"parley/store"
)

// get is a call of an owner that reads a key.
func get(ctx context.Context, s *Store, o store.Owner) error {
	return s.do(ctx, o, "List", func(ctx context.Context, c *client) error { return c.Get(ctx, "x").Err() })
}

// closedPort is an address where nobody listens.
func closedPort(t *testing.T) string {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().String()
}

// silent is the address of a server that takes connections and says nothing.
func silent(t *testing.T) string {
	t.Helper()
	return strings.TrimPrefix(serve(t, ""), "redis://")
}

// refusing is that of one that says no to everything.
func refusing(t *testing.T, reply string) string {
	t.Helper()
	return strings.TrimPrefix(serve(t, reply), "redis://")
}

// Any of the configured addresses will do to begin with. If none does, callers are told
// why as soon as that is known, and afterwards at once.
func TestFirstMap(t *testing.T) {
	t.Parallel()
	good := startScripted(t, 1)[0]
	hung, shut := silent(t), closedPort(t)
	alone := startScripted(t, 1)[0]
	alone.tells("*0\r\n")
	wrongPassword := refusing(t, "-WRONGPASS invalid username-password pair or user is disabled.\r\n")
	single := refusing(t, "-ERR This instance has cluster support disabled\r\n")
	for name, c := range map[string]struct {
		first string
		more  []string
		want  error
	}{
		"well":                             {good.addr, nil, nil},
		"the first is hung":                {hung, []string{good.addr}, nil},
		"the first refuses connections":    {shut, []string{good.addr}, nil},
		"the first refuses the password":   {wrongPassword, []string{good.addr}, nil},
		"the first three are hung":         {hung, []string{silent(t), silent(t), good.addr}, nil},
		"all but one of many refuse":       {shut, []string{closedPort(t), closedPort(t), closedPort(t), closedPort(t), closedPort(t), good.addr}, nil},
		"one is no node of a cluster":      {single, []string{good.addr}, nil},
		"hung":                             {hung, nil, store.ErrTimeout},
		"refused":                          {shut, nil, store.ErrUnreachable},
		"wrong password":                   {wrongPassword, nil, store.ErrAuth},
		"not a cluster":                    {single, nil, store.ErrMisconfigured},
		"refused, and a wrong password":    {shut, []string{wrongPassword}, store.ErrAuth},
		"wrong password, and not of any":   {wrongPassword, []string{single, hung}, store.ErrMisconfigured},
		"forbidden to ask":                 {refusing(t, "-NOPERM User u has no permissions to run the 'cluster|slots' command\r\n"), nil, store.ErrAuth},
		"not what CLUSTER SLOTS answers":   {refusing(t, "+OK\r\n"), nil, store.ErrProtocol},
		"still loading":                    {refusing(t, "-LOADING Redis is loading the dataset in memory\r\n"), nil, store.ErrNotReady},
		"a node that has joined no others": {alone.addr, nil, store.ErrNotReady},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			machine := latency.Watch(t)
			s, err := New(Options{URL: "redis://" + c.first, Nodes: c.more, Mode: ModeCluster, Timeout: 4 * time.Second})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = s.Close() })
			for i, limit := range []time.Duration{1500 * time.Millisecond, 100 * time.Millisecond} {
				began := time.Now()
				err := get(t.Context(), s, owner)
				if !errors.Is(err, c.want) {
					t.Errorf("call %d: %v, want %v", i, err, c.want)
				}
				if took := time.Since(began); took > limit+machine.Max() {
					t.Errorf("call %d took %v, at most %v", i, took, limit)
				}
			}
		})
	}
}

// A store that nobody uses connects to nothing, and one that is closed leaves nothing.
func TestClusterOfNobody(t *testing.T) {
	t.Parallel()
	dialed := false
	s, err := New(Options{URL: "redis://redis.test:1", Mode: ModeCluster, Trace: Trace{Dialed: func(context.Context, time.Duration, error) { dialed = true }}})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if err := get(t.Context(), s, owner); !errors.Is(err, store.ErrUnreachable) {
		t.Errorf("after close: %v", err)
	}
	if dialed {
		t.Error("it dialed")
	}
}

// A call goes to the primary of its owner's slot and to no other.
func TestCallsOfASlot(t *testing.T) {
	t.Parallel()
	nodes := startScripted(t, 3)
	for _, n := range nodes {
		n.tells(slotsReply(nodes[0].addr, nodes[1].addr, nodes[2].addr))
	}
	s := clusterOf(t, time.Second, nodes[0])
	for i := range nodes {
		if err := get(t.Context(), s, ownerIn(i, 3).Owner); err != nil {
			t.Error(err)
		}
		for j, other := range nodes {
			if want := map[bool]int{true: 1}[j <= i]; len(other.heard()) != want {
				t.Errorf("after a call of part %d, node %d has heard %q", i, j, other.heard())
			}
		}
	}
}

// A primary that is gone is looked for at once: its failure, and no clock, has the map
// made anew.
func TestMapAfterAFailure(t *testing.T) {
	t.Parallel()
	for name, fail := range map[string]func(s *scripted){
		"refused":      func(s *scripted) { s.stop() },
		"hung":         func(s *scripted) { s.will(always("")) },
		"cluster down": func(s *scripted) { s.will(always("-CLUSTERDOWN The cluster is down\r\n")) },
		"read only":    func(s *scripted) { s.will(always("-READONLY You can't write against a read only replica.\r\n")) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			machine := latency.Watch(t)
			nodes := startScripted(t, 4)
			old, next := nodes[0], nodes[3]
			s := clusterOf(t, 300*time.Millisecond, nodes[0])
			for _, n := range nodes {
				n.tells(slotsReply(nodes[0].addr, nodes[1].addr, nodes[2].addr))
			}
			o := ownerIn(0, 3).Owner
			if err := get(t.Context(), s, o); err != nil {
				t.Fatal(err)
			}
			fail(old)
			began := time.Now()
			if err := get(t.Context(), s, o); err == nil {
				t.Fatal("it does not fail")
			}
			for _, n := range nodes[1:] { // the others have elected another
				n.tells(slotsReply(next.addr, nodes[1].addr, nodes[2].addr))
			}
			eventually(t, "the new primary is used", func() bool { return get(t.Context(), s, o) == nil })
			if took := time.Since(began); took > 2*time.Second+machine.Max() {
				t.Errorf("after %v", took)
			}
			if len(next.heard()) == 0 {
				t.Error("the new primary heard nothing")
			}
		})
	}
}

// While the breaker of one shard is open, its calls say so and keep the kind of the
// failure that opened it, also those that a redirect leads there; of the others, none does.
func TestBreakerOfAShard(t *testing.T) {
	t.Parallel()
	nodes := startScripted(t, 3)
	well, gone, third := nodes[0], nodes[1], nodes[2]
	s := clusterOf(t, timeout, well)
	for _, n := range nodes {
		n.tells(slotsReply(well.addr, gone.addr, third.addr))
	}
	lost, led := ownerIn(1, 3).Owner, ownerIn(2, 3).Owner
	if err := get(t.Context(), s, lost); err != nil {
		t.Fatal(err)
	}
	well.will(func(_ int, args string) string {
		if strings.HasPrefix(args, "hget") { // the probe's
			return "$-1\r\n"
		}
		return "+OK\r\n"
	})
	third.will(always(moved(gone)))
	gone.stop()
	said := func(err error) (open bool) {
		e, ok := errors.AsType[*store.Error](err)
		if !ok || !errors.Is(err, store.ErrUnreachable) {
			t.Fatalf("%v, want %v", err, store.ErrUnreachable)
		}
		return e.BreakerOpen
	}
	if said(get(t.Context(), s, lost)) {
		t.Error("the first failure is said to be the breaker's")
	}
	eventually(t, "the breaker opens", func() bool { return said(get(t.Context(), s, lost)) })
	if !said(get(t.Context(), s, led)) {
		t.Error("a call that was redirected does not say so")
	}
	if !said(s.Shards(t.Context()).Worst) {
		t.Error("nor does the probe of health")
	}
	if err := get(t.Context(), s, ownerIn(0, 3).Owner); err != nil {
		t.Errorf("another shard: %v", err)
	}
}

// When all addresses are others, the configured one still leads to them.
func TestAllAddressesChange(t *testing.T) {
	t.Parallel()
	nodes := startScripted(t, 6)
	seed := nodes[0] // knows all, and has no slots
	was, is := nodes[1:3], nodes[3:5]
	for _, n := range nodes {
		n.tells(slotsReply(was[0].addr, was[1].addr))
	}
	s := clusterOf(t, 300*time.Millisecond, seed)
	o := ownerIn(1, 2).Owner
	if err := get(t.Context(), s, o); err != nil {
		t.Fatal(err)
	}
	for _, n := range was {
		n.stop()
	}
	seed.tells(slotsReply(is[0].addr, is[1].addr))
	eventually(t, "the new addresses are used", func() bool { return get(t.Context(), s, o) == nil })
}

// A primary that was cut off has one vote, also where the configured address is another
// name of it.
func TestSeedOfACutOffPrimary(t *testing.T) {
	t.Parallel()
	nodes := startScripted(t, 4)
	cutOff, next := nodes[0], nodes[3]
	for _, n := range nodes {
		n.tells(slotsReply(cutOff.addr, nodes[1].addr, nodes[2].addr))
	}
	_, port, _ := net.SplitHostPort(cutOff.addr)
	s, err := New(Options{URL: "redis://[::ffff:127.0.0.1]:" + port, Mode: ModeCluster})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	if err := get(t.Context(), s, owner); err != nil {
		t.Fatal(err)
	}
	if s.one().addr != cutOff.addr {
		t.Fatalf("the map has %s", s.one().addr)
	}
	for _, n := range nodes[1:] {
		n.tells(slotsReply(next.addr, nodes[1].addr, nodes[2].addr))
	}
	c := s.topology.(*cluster)
	eventually(t, "the elected primary is in the map", func() bool { c.doubt(); return s.one().addr == next.addr })
}

// The configured addresses decide where fewer than two primaries say who has the slots.
func TestWhoDecides(t *testing.T) {
	t.Parallel()
	old, now, nothing := []claim{{0, 1, "a:1"}}, []claim{{0, 1, "b:1"}}, []claim{}
	for name, c := range map[string]struct{ primaries, seeds, want [][]claim }{
		"nobody":                     {},
		"seeds alone":                {nil, [][]claim{old}, [][]claim{old}},
		"one primary":                {[][]claim{now}, [][]claim{old}, [][]claim{now, old}},
		"two primaries":              {[][]claim{now, old}, [][]claim{old}, [][]claim{now, old}},
		"primaries that left":        {[][]claim{nothing, nothing}, [][]claim{now}, [][]claim{nothing, nothing, now}},
		"primaries, and one left":    {[][]claim{nothing, old}, [][]claim{now}, [][]claim{nothing, old, now}},
		"two primaries that did not": {[][]claim{nothing, now, now}, [][]claim{old}, [][]claim{nothing, now, now}},
	} {
		if got := deciding(c.primaries, c.seeds); !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}

// What left the map is closed, once no call can be on it, and what redirects lead to
// is bounded.
func TestNodesLeave(t *testing.T) {
	t.Parallel()
	nodes := startScripted(t, 3)
	seed, old, next := nodes[0], nodes[1], nodes[2]
	for _, n := range nodes {
		n.tells(slotsReply(old.addr))
	}
	s := clusterOf(t, 200*time.Millisecond, seed)
	if err := get(t.Context(), s, owner); err != nil {
		t.Fatal(err)
	}
	left := s.one()
	for _, n := range nodes {
		n.tells(slotsReply(next.addr))
	}
	c := s.topology.(*cluster)
	eventually(t, "the map is made anew", func() bool { c.doubt(); return s.one() != left })
	eventually(t, "the node is closed", func() bool { return left.life.Err() != nil })
	c.mu.Lock()
	if len(c.table) != 1 {
		t.Errorf("%d nodes are kept", len(c.table))
	}
	c.mu.Unlock()
	led := 0
	for i := range 3 * MaxNodes {
		if _, err := c.reach(net.JoinHostPort("127.0.0.1", strconv.Itoa(10000+i))); err == nil {
			led++
		}
	}
	if led >= 2*MaxNodes {
		t.Errorf("redirects may lead to %d nodes", led)
	}
}

// However many calls fail, the nodes are asked for the map ten times a second at most.
func TestMapPace(t *testing.T) {
	t.Parallel()
	node := startScripted(t, 1)[0]
	s := clusterOf(t, time.Second, node)
	node.will(always("-CLUSTERDOWN The cluster is down\r\n"))
	began := time.Now()
	for time.Since(began) < time.Second {
		if err := get(t.Context(), s, owner); !errors.Is(err, store.ErrNotReady) {
			t.Fatal(err)
		}
	}
	took := time.Since(began)
	if n, most := node.asks(), int(took/mapPause)+2; n > most {
		t.Errorf("asked %d times in %v, at most %d", n, took, most)
	}
}
