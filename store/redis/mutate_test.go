package redis

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"

	goredis "github.com/redis/go-redis/v9"

	"parley/store"
	"parley/store/internal/wire"
)

// What follows breaks the store of a cluster, each in one way that clients of clusters
// are known to be wrong in. It is to be called before the store is used.

// KeepFirstMap has a store never look at another map than its first.
func (s *Store) KeepFirstMap() { s.topology = &keeping{cluster: s.topology.(*cluster)} }

type keeping struct {
	*cluster
	first atomic.Pointer[slotMap]
}

func (k *keeping) at(ctx context.Context, o store.Owner) (*node, error) {
	m, err := k.known(ctx)
	if err != nil {
		return nil, err
	}
	k.first.CompareAndSwap(nil, m)
	return k.first.Load().at(slotOf(wire.OwnerTag(o))), nil
}

// others is a cluster whose calls go to other nodes than its own.
type others struct {
	*cluster
	mu    sync.Mutex
	table map[string]*node // by address
	make  func(ctx context.Context, right *node) (*node, error)
}

func (o *others) at(ctx context.Context, owner store.Owner) (*node, error) {
	right, err := o.cluster.at(ctx, owner)
	if err != nil {
		return nil, err
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	n := o.table[right.addr]
	if n == nil {
		if n, err = o.make(ctx, right); err == nil {
			o.table[right.addr] = n
		}
	}
	return n, err
}

func (o *others) close() error {
	err := o.cluster.close()
	for _, n := range o.table {
		err = errors.Join(err, n.close())
	}
	return err
}

// RedirectWhole has a store send a whole pipeline elsewhere when one command of it is
// redirected.
func (s *Store) RedirectWhole() {
	c := s.topology.(*cluster)
	s.topology = &others{cluster: c, table: map[string]*node{}, make: func(_ context.Context, right *node) (*node, error) {
		return c.maker.node(right.addr, c.dial(right.addr), func(n *node) goredis.Hook { return whole{&redirects{c, n}} }), nil
	}}
}

type whole struct{ *redirects }

func (w whole) ProcessPipelineHook(next goredis.ProcessPipelineHook) goredis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []goredis.Cmder) error {
		err := next(ctx, cmds)
		for i := range cmds {
			u := unit{cmds: cmds[i : i+1], host: hostOf(w.node.addr)}
			to, known := u.next()
			if !known {
				continue
			}
			var all []*unit
			for j := range cmds {
				cmds[j].SetErr(nil)
				all = append(all, &unit{cmds: cmds[j : j+1], host: u.host})
			}
			w.send(ctx, to, all)
			for _, cmd := range cmds {
				if err := cmd.Err(); err != nil {
					return err
				}
			}
			return nil
		}
		return err
	}
}

// GoToReplicas has a store send everything to replicas.
func (s *Store) GoToReplicas() {
	c := s.topology.(*cluster)
	s.topology = &others{cluster: c, table: map[string]*node{}, make: func(ctx context.Context, right *node) (*node, error) {
		ranges, err := right.current.Load().ClusterSlots(ctx).Result() //nolint:staticcheck // CLUSTER SHARDS is not in Redis 6, whose clusters are served as well
		if err != nil {
			return nil, err
		}
		m := *c.maker
		m.opt.OnConnect = func(ctx context.Context, conn *goredis.Conn) error { return conn.ReadOnly(ctx).Err() }
		for _, r := range ranges {
			if len(r.Nodes) > 1 && r.Nodes[0].Addr == right.addr {
				return m.node(r.Nodes[1].Addr, c.dial(r.Nodes[1].Addr), nil), nil
			}
		}
		return right, nil
	}}
}

// PingShards is Shards by PING alone.
func (s *Store) PingShards(ctx context.Context) (found store.Shards) {
	parts, err := s.topology.all(ctx)
	found.Worst, found.Total = err, len(parts)
	answers := make(chan error)
	for _, p := range parts {
		go func() { answers <- p.current.Load().Ping(ctx).Err() }()
	}
	for range parts {
		if err := <-answers; err == nil {
			found.Up++
		} else {
			found.Worst = classify(ctx, ctx, "Shards", err)
		}
	}
	return found
}
