package redis

import (
	"context"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"time"

	goredis "github.com/redis/go-redis/v9"
)

const (
	// reportLife is for how long the last word of a sentinel counts that says nothing
	// any more.
	reportLife = 10 * time.Second
	// lookPause is the shortest time between two questions to one sentinel.
	lookPause = 100 * time.Millisecond
)

var (
	// errUnknownMaster says that the sentinels know no primary by that name.
	errUnknownMaster = errors.New("redis: the sentinels know no primary by that name")
	// errNoSentinel says that a server is no sentinel.
	errNoSentinel = errors.New("redis: not a sentinel")
)

// report is what a sentinel says of the primary.
type report struct {
	addr string // host:port
	// epoch numbers the failovers: of two sentinels that disagree, the one with the
	// higher number knows more. 0 where the sentinel does not let this user see it.
	epoch uint64
	at    time.Time
}

// sentinels know where the primary is. They ask every sentinel about once a second, and
// at once when one tells of a failover, when a call fails, and when a connection
// finds a replica. What they knew last is true until one of them says otherwise: that
// the sentinels are away is no outage.
//
// The library's own client (FailoverClient) asks while a connection is being opened,
// one sentinel after the other. With all of them away, or two of three hung, no new
// connection comes about although the primary is well.
type sentinels struct {
	master string
	all    []*sentinel
	moved  func() // is called when the primary is another
	told   func() // is called when it is another than one that was known

	current atomic.Pointer[report] // nil before the first

	mu      sync.Mutex
	reports []report // by sentinel, the last of each
	causes  []error  // by sentinel, why it said nothing the last time; nil if it did
	waiting int      // for the first word of so many sentinels
	settled bool     // tried is closed
	tried   chan struct{}

	life    context.Context // ends with close
	end     context.CancelFunc
	running sync.WaitGroup
}

// watched is the topology of a Store with sentinels: one primary that moves.
type watched struct {
	fixed
	sentinels *sentinels
}

// newWatched makes that of the sentinels at an address and at those of the options.
// dial is the way to any server.
func newWatched(m *maker, o Options, addr string, dial func(addr string) dialFunc, interval time.Duration) watched {
	s := newSentinels(o.SentinelMaster, append([]string{addr}, o.Nodes...), func(addr string) *goredis.Client {
		opt := m.opt
		opt.Addr, opt.Dialer, opt.DB, opt.PoolSize = addr, dial(addr), 0, 1
		opt.Username, opt.Password, opt.CredentialsProviderContext = o.SentinelUser, o.SentinelPassword, nil
		// Setting up a connection heeds no context that ends: close waits for it.
		opt.ReadTimeout, opt.WriteTimeout = min(askTimeout, opt.ReadTimeout), min(askTimeout, opt.WriteTimeout)
		return goredis.NewClient(&opt)
	})
	own := *m
	own.opt.OnConnect = s.onConnect
	n := own.node(addr, func(ctx context.Context, network, _ string) (net.Conn, error) {
		at, err := s.where(ctx)
		if err != nil {
			return nil, err
		}
		return dial(at)(ctx, network, at)
	}, nil)
	n.doubt, s.moved = s.doubt, n.move
	s.told = func() { n.moved(movedSentinels) }
	s.start()
	return watched{newFixed(n, interval), s}
}

func (w watched) close() error {
	w.sentinels.close()
	return w.fixed.close()
}

func newSentinels(master string, addrs []string, create func(addr string) *goredis.Client) *sentinels {
	s := &sentinels{
		master: master, moved: func() {}, told: func() {}, reports: make([]report, len(addrs)), causes: make([]error, len(addrs)),
		waiting: len(addrs), tried: make(chan struct{}),
	}
	for _, addr := range addrs {
		s.all = append(s.all, &sentinel{addr: addr, create: create, wanted: make(chan struct{}, 1)})
	}
	s.life, s.end = context.WithCancel(context.Background())
	return s
}

// start begins to ask and to listen.
func (s *sentinels) start() {
	for i, one := range s.all {
		s.running.Go(func() {
			one.poll(s.life, s.master, func(r report, err error) { s.hear(i, r, err) })
		})
		s.running.Go(func() { one.listen(s.life, s.look) })
	}
}

func (s *sentinels) close() {
	s.end()
	s.running.Wait()
}

// look has every sentinel be asked now. It does not wait.
func (s *sentinels) look() {
	for _, one := range s.all {
		select {
		case one.wanted <- struct{}{}:
		default:
		}
	}
}

// doubt looks if an error of a call can come from a primary that is none any more.
func (s *sentinels) doubt(err error) {
	if fromOldPlace(err) {
		s.look()
	}
}

// where is the address of the primary. Only the first calls wait, until a sentinel
// has told it or each has failed to. As long as it is not known, the others are told at
// once why.
func (s *sentinels) where(ctx context.Context) (string, error) {
	if r := s.current.Load(); r != nil {
		return r.addr, nil
	}
	select {
	case <-s.tried:
	case <-ctx.Done():
		return "", ctx.Err()
	case <-s.life.Done():
		return "", goredis.ErrClosed
	}
	if r := s.current.Load(); r != nil {
		return r.addr, nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var why error
	for _, err := range s.causes {
		why = moreTelling(why, err)
	}
	return "", why
}

// hear takes what a sentinel said, or why it said nothing.
func (s *sentinels) hear(i int, r report, err error) {
	s.mu.Lock()
	known := s.current.Load()
	first := s.reports[i].at.IsZero() && s.causes[i] == nil
	s.causes[i] = err
	if err == nil {
		s.reports[i] = r
	} else if errors.Is(err, errUnknownMaster) {
		s.reports[i] = report{at: time.Now()}
	}
	if first {
		s.waiting--
	}
	now := elect(s.reports, known, time.Now())
	if now != nil {
		s.current.Store(now)
	}
	late := s.settled
	if !s.settled && (now != nil || s.waiting == 0) {
		s.settled = true
		close(s.tried)
	}
	// The library may have given up to dial while nobody knew the primary.
	other := now != nil && known != nil && now.addr != known.addr
	moved := other || now != nil && known == nil && late
	s.mu.Unlock()
	if moved {
		s.moved()
	}
	if other {
		s.told()
	}
}

// elect is the primary by what the sentinels say: by the word of the one that has seen
// the latest failover. One that was cut off while others failed over is not believed.
// Only when most of them have seen fewer failovers than is known, somebody has set them
// up anew.
func elect(reports []report, known *report, now time.Time) *report {
	var best *report
	votes := map[string]int{}
	for i := range reports {
		r := &reports[i]
		if r.addr == "" || now.Sub(r.at) > reportLife {
			continue
		}
		votes[r.addr]++
		if best == nil || r.epoch > best.epoch {
			best = r
		}
	}
	if best == nil {
		return known
	}
	for i := range reports { // of equals the one that most name, and else the one in use
		r := &reports[i]
		if votes[r.addr] == 0 || r.epoch != best.epoch || now.Sub(r.at) > reportLife {
			continue
		}
		if votes[r.addr] > votes[best.addr] || votes[r.addr] == votes[best.addr] && known != nil && r.addr == known.addr {
			best = r
		}
	}
	if known != nil && best.epoch < known.epoch && 2*votes[best.addr] <= len(reports) {
		return known
	}
	chosen := *best
	return &chosen
}

// onConnect refuses a replica. It asks by HELLO, which no ACL can forbid, and which is
// a short command: see bound.
func (s *sentinels) onConnect(ctx context.Context, conn *goredis.Conn) error {
	said := goredis.NewCmd(ctx, "hello")
	err := conn.Process(ctx, said)
	switch {
	case forbidden(err):
		return conn.Ping(ctx).Err() // which it is remains to be seen by the next write
	case err != nil:
		return err
	case identity(said).role == roleReplica:
		s.look()
		return errReplica
	}
	return nil
}
