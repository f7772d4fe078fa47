package auth

import (
	"context"
	"crypto"
	"errors"
	"sync"
	"time"
)

// How the cache of keys behaves. A key that is known answers at once, whatever
// the issuer does.
const (
	// refreshAfter is the age at which keys are fetched again, in the background.
	refreshAfter = time.Hour
	// keepFor is how long keys outlive the last time the issuer confirmed them. A
	// key it has withdrawn must not be good for ever only because nobody can ask.
	keepFor = 24 * time.Hour
	// pause is the least time between two fetches, however many unknown keys are
	// asked for; after a failed one, pauseFailed.
	pause       = 10 * time.Second
	pauseFailed = time.Second
	// fetchLimit bounds one fetch, and so how long a token can wait for its key.
	fetchLimit = 5 * time.Second
)

// The algorithms that are accepted (RFC 7518, section 3.1).
const (
	algRSA = "RS256"
	algEC  = "ES256"
)

// key is one signing key of the issuer.
type key struct {
	alg    string // the one algorithm it is for
	public crypto.PublicKey
	only   string // the one issuer it is for, maybe with tenantID in it; "" for the set's
}

// snapshot is what the issuer said at one time. It is never changed.
type snapshot struct {
	issuer string // what iss must be, maybe with tenantID in it
	keys   map[string]key
	at     time.Time
}

// snapshotKey is a key and the issuer it belongs to.
type snapshotKey struct {
	key
	issuer string
}

// keys is the cache of the issuer's keys.
type keys struct {
	fetch     func(context.Context) (*snapshot, error)
	onRefresh func(error)
	now       func() time.Time

	life context.Context // ends with close
	end  context.CancelFunc
	runs sync.WaitGroup

	mu      sync.Mutex
	current *snapshot     // nil until the first success
	failed  bool          // whether the last fetch did
	next    time.Time     // no fetch before
	flight  chan struct{} // closed when the fetch that runs has ended; nil when none does
}

func newKeys(fetch func(context.Context) (*snapshot, error), onRefresh func(error), now func() time.Time) *keys {
	k := &keys{fetch: fetch, onRefresh: onRefresh, now: now}
	k.life, k.end = context.WithCancel(context.Background())
	return k
}

func (k *keys) close() {
	k.end()
	k.runs.Wait()
}

// find gives the key of a name. One that is unknown is fetched for, at a bounded
// rate: the issuer may have begun to use it since. Its error is errNotOurs when
// the issuer has no such key, ErrUnavailable when nobody can say.
func (k *keys) find(ctx context.Context, kid string) (snapshotKey, error) {
	found, flight := k.look(kid)
	if found != nil {
		return *found, nil
	}
	if err := k.wait(ctx, flight); err != nil {
		return snapshotKey{}, err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if found := k.known(kid); found != nil {
		return *found, nil
	}
	if k.failed || k.valid() == nil {
		return snapshotKey{}, ErrUnavailable
	}
	return snapshotKey{}, errNotOurs
}

// look finds a key that is known, or the fetch to wait for.
func (k *keys) look(kid string) (*snapshotKey, <-chan struct{}) {
	k.mu.Lock()
	defer k.mu.Unlock()
	found := k.known(kid)
	if found == nil || k.now().Sub(k.current.at) >= refreshAfter {
		k.start()
	}
	return found, k.flight
}

// known gives a key by name, nil if there is none. The lock is held.
func (k *keys) known(kid string) *snapshotKey {
	s := k.valid()
	if s == nil {
		return nil
	}
	found, ok := s.keys[kid]
	if !ok {
		return nil
	}
	return &snapshotKey{key: found, issuer: s.issuer}
}

// valid gives the keys unless they are too old to trust. The lock is held.
func (k *keys) valid() *snapshot {
	if k.current == nil || k.now().Sub(k.current.at) >= keepFor {
		return nil
	}
	return k.current
}

// start begins a fetch unless one runs or it is too soon. It belongs to nobody's
// request: whoever leaves, the others wait for it. The lock is held.
func (k *keys) start() {
	if k.flight != nil || k.now().Before(k.next) || k.life.Err() != nil {
		return
	}
	done := make(chan struct{})
	k.flight = done
	k.runs.Go(func() {
		defer close(done)
		ctx, cancel := context.WithTimeout(k.life, fetchLimit)
		defer cancel()
		s, err := k.fetch(ctx)
		k.settle(s, err)
		k.onRefresh(err)
	})
}

// settle takes in what a fetch came to. Keys that were there before stay when it
// failed.
func (k *keys) settle(s *snapshot, err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	now := k.now()
	k.flight, k.failed, k.next = nil, err != nil, now.Add(pauseFailed)
	if err == nil {
		s.at = now
		k.current, k.next = s, now.Add(pause)
	}
}

// wait waits for a fetch; nil is none.
func (k *keys) wait(ctx context.Context, flight <-chan struct{}) error {
	if flight == nil {
		return nil
	}
	select {
	case <-flight:
		return nil
	case <-ctx.Done():
		if errors.Is(ctx.Err(), context.Canceled) {
			return context.Canceled
		}
		return ErrUnavailable
	}
}

// refresh fetches now, if that is due.
func (k *keys) refresh(ctx context.Context) error {
	k.mu.Lock()
	k.start()
	flight := k.flight
	k.mu.Unlock()
	if err := k.wait(ctx, flight); err != nil {
		return err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.failed || k.valid() == nil {
		return ErrUnavailable
	}
	return nil
}
