package redis

import (
	"slices"
	"sync"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"parley/contracttest/faultproxy"
	"parley/contracttest/redistest"
)

// reasons is what Trace.Moved was called with.
type reasons struct {
	mu  sync.Mutex
	all []string
}

func (r *reasons) note(reason string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.all = append(r.all, reason)
}

func (r *reasons) taken() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := r.all
	r.all = nil
	return all
}

// What is different about a map of a cluster is told, but for slots that are moved.
func TestChangesOfTheMapAreTold(t *testing.T) {
	a, b, d := &node{addr: "a"}, &node{addr: "b"}, &node{addr: "d"}
	mapOf := func(primaries []*node, uncovered int) *slotMap {
		m := &slotMap{primaries: primaries}
		for i := range m.owner {
			m.owner[i] = 1
		}
		for i := range uncovered {
			m.owner[i] = 0
		}
		return m
	}
	two := mapOf([]*node{a, b}, 0)
	moved := mapOf([]*node{a, b}, 0)
	moved.owner[7] = 2
	var told reasons
	c := &cluster{maker: &maker{trace: Trace{Moved: told.note}}}
	for name, row := range map[string]struct {
		before, now *slotMap
		want        []string
	}{
		"the first":             {nil, two, nil},
		"the same":              {two, mapOf([]*node{a, b}, 0), nil},
		"a slot is moved":       {two, moved, nil},
		"a failover":            {two, mapOf([]*node{a, d}, 0), []string{movedPrimaries}},
		"one more":              {two, mapOf([]*node{a, b, d}, 0), []string{movedPrimaries}},
		"one less":              {two, mapOf([]*node{a}, 0), []string{movedPrimaries}},
		"slots without primary": {two, mapOf([]*node{a, b}, 3), []string{movedUncovered}},
		"still so":              {mapOf([]*node{a, b}, 3), mapOf([]*node{a, b}, 1), nil},
		"covered again":         {mapOf([]*node{a, b}, 3), two, []string{movedCovered}},
	} {
		c.tell(row.before, row.now)
		if got := told.taken(); !slices.Equal(got, row.want) {
			t.Errorf("%s: told %q, want %q", name, got, row.want)
		}
	}
}

// That the sentinels name another primary is told, and that they name the first is not.
func TestAnotherPrimaryIsTold(t *testing.T) {
	var told reasons
	s := newSentinels("m", []string{"s1", "s2", "s3"}, func(string) *goredis.Client { return nil })
	defer s.close()
	s.told = func() { told.note(movedSentinels) }
	say := func(addr string, epoch uint64) {
		for i := range 3 {
			s.hear(i, report{addr: addr, epoch: epoch, at: time.Now()}, nil)
		}
	}
	say("a:1", 1)
	say("a:1", 2)
	if got := told.taken(); len(got) != 0 {
		t.Errorf("told %q of the same primary", got)
	}
	say("b:1", 3)
	if got := told.taken(); !slices.Equal(got, []string{movedSentinels}) {
		t.Errorf("told %q of another", got)
	}
}

// Of connections that lead to a replica it is told once that they are replaced.
func TestConnectionsToAReplicaAreTold(t *testing.T) {
	a, b := redistest.Start(t), redistest.Start(t)
	p := faultproxy.Start(t, a.Addr())
	var told reasons
	s, err := New(Options{URL: "redis://" + p.Addr(), Trace: Trace{Moved: told.note}, roleInterval: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	connect(t, s, p, 1)
	s.one().checkRoles()
	if got := told.taken(); len(got) != 0 {
		t.Errorf("told %q of a primary", got)
	}
	replicate(t, admin(t, a), b)
	p.SetUpstream(b.Addr())
	eventually(t, "it is told", func() bool {
		s.one().checkRoles()
		got := told.taken()
		if len(got) > 1 || len(got) == 1 && got[0] != movedFromReplica {
			t.Fatalf("told %q", got)
		}
		return len(got) == 1
	})
}
