package auth

import (
	"context"
	"crypto"
	"errors"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sync/singleflight"
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

// MaxWaiting is how many calls of one Bearer's Verify may wait for a key that is
// not known yet. Anybody can make up names of keys, so more are told at once that
// they would have to wait. Calls whose key is known never wait.
const MaxWaiting = 64

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
	issuer string           // what iss must be, maybe with tenantID in it
	keys   map[string][]key // by kid; more than one where the issuer reuses a name
	gone   map[string]bool  // names that the snapshot before had, and this one has not
	at     time.Time
}

// keys is the cache of the issuer's keys.
type keys struct {
	fetch     func(context.Context) (*snapshot, error)
	onRefresh func(error)
	trace     Trace
	now       func() time.Time

	life   context.Context // ends with close
	end    context.CancelFunc
	flight singleflight.Group // has one fetch at most, under flightName

	mu       sync.Mutex
	current  *snapshot // nil until the first success
	next     time.Time // no fetch begins before
	fetching bool
	waiting  int   // callers of find that wait for a fetch
	lack     error // of descriptors, for which the last fetch failed; nil if it did not
}

const flightName = "keys"

func newKeys(fetch func(context.Context) (*snapshot, error), onRefresh func(error), trace Trace, now func() time.Time) *keys {
	k := &keys{fetch: fetch, onRefresh: onRefresh, trace: trace.orNothing(), now: now}
	k.life, k.end = context.WithCancel(context.Background())
	return k
}

// close ends the fetch that runs, if any, and waits for it: it shares its flight.
func (k *keys) close() {
	k.end()
	_, _, _ = k.flight.Do(flightName, func() (any, error) { return nil, nil })
}

// find gives the keys of a name, and the issuer they belong to. A name that is
// unknown is fetched for, at a bounded rate: the issuer may have begun to use it
// since. Its error is errNotOurs when the issuer was asked after that and has no
// such key, else an *UnavailableError, or the context's.
func (k *keys) find(ctx context.Context, kid string) (found []key, issuer string, err error) {
	began, own := time.Now(), false
	defer func() {
		if errors.Is(err, ErrUnavailable) && !own {
			k.trace.Failed(ctx, began, err)
		}
	}()
	k.mu.Lock()
	found, issuer = k.known(kid)
	fetching, due := k.fetching, k.due()
	withdrawn := k.current != nil && k.current.gone[kid]
	stale := found != nil && k.now().Sub(k.current.at) >= refreshAfter
	k.mu.Unlock()
	if found != nil {
		if stale && due && !fetching {
			k.begin(ctx, new(atomic.Bool)) // in the background; close waits for it
		}
		return found, issuer, nil
	}
	switch {
	case due || fetching:
		own, err = k.wait(ctx)
	case withdrawn:
		return nil, "", errNotOurs // the issuer has said so
	default:
		err = k.unavailable()
	}
	if errors.Is(err, context.Canceled) {
		return nil, "", err
	}
	k.mu.Lock()
	found, issuer = k.known(kid)
	k.mu.Unlock()
	switch {
	case found != nil:
		return found, issuer, nil
	case err != nil:
		return nil, "", err
	case fetching:
		// That fetch may have read the keys before the issuer had this one.
		return nil, "", k.unavailable()
	}
	return nil, "", errNotOurs
}

// known gives the keys of a name, nil if there are none. The lock is held.
func (k *keys) known(kid string) (found []key, issuer string) {
	if k.current == nil || k.now().Sub(k.current.at) >= keepFor {
		return nil, ""
	}
	return k.current.keys[kid], k.current.issuer
}

// due reports whether a fetch may begin. The lock is held.
func (k *keys) due() bool { return !k.now().Before(k.next) }

// unavailable says when the issuer may be asked again.
func (k *keys) unavailable() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	return &UnavailableError{RetryAfter: max(0, k.next.Sub(k.now())), Lack: k.lack}
}

// wait is join for one of MaxWaiting callers.
func (k *keys) wait(ctx context.Context) (own bool, err error) {
	k.mu.Lock()
	full := k.waiting >= MaxWaiting
	if !full {
		k.waiting++
	}
	k.mu.Unlock()
	if full {
		return false, k.unavailable()
	}
	defer func() {
		k.mu.Lock()
		k.waiting--
		k.mu.Unlock()
	}()
	return k.join(ctx)
}

// join waits for the fetch that runs, or for one that it begins. A fetch belongs
// to nobody's request: whoever leaves, the others wait for it. own is true of the
// caller whose fetch it is.
func (k *keys) join(ctx context.Context) (own bool, err error) {
	var mine atomic.Bool
	select {
	case done := <-k.begin(ctx, &mine):
		return mine.Load(), done.Err
	case <-ctx.Done():
		if errors.Is(ctx.Err(), context.Canceled) {
			return mine.Load(), context.Canceled
		}
		return mine.Load(), k.unavailable()
	}
}

// begin begins a fetch, and then sets mine, or joins the one that runs. Of ctx only
// the values are used.
func (k *keys) begin(ctx context.Context, mine *atomic.Bool) <-chan singleflight.Result {
	return k.flight.DoChan(flightName, func() (any, error) { return nil, k.update(ctx, mine) })
}

// update fetches the keys, unless somebody just has. Keys that were there before
// stay when it fails. It runs in the flight.
func (k *keys) update(values context.Context, mine *atomic.Bool) error {
	k.mu.Lock()
	if !k.due() || k.life.Err() != nil {
		k.mu.Unlock()
		return k.unavailable()
	}
	k.fetching = true
	k.mu.Unlock()
	mine.Store(true)

	ctx, cancel := context.WithTimeout(context.WithoutCancel(values), fetchLimit)
	defer cancel()
	defer context.AfterFunc(k.life, cancel)()
	ctx, done := k.trace.Fetch(ctx)
	s, err := k.fetch(ctx)

	k.mu.Lock()
	now := k.now()
	k.fetching, k.next, k.lack = false, now.Add(pauseFailed), lackOf(err)
	if err == nil {
		s.at, s.gone = now, map[string]bool{}
		if k.current != nil {
			for kid := range k.current.keys {
				s.gone[kid] = s.keys[kid] == nil
			}
		}
		k.current, k.next = s, now.Add(pause)
	}
	k.mu.Unlock()
	k.onRefresh(err)
	switch {
	case err == nil:
		done(nil)
		return nil
	case k.life.Err() != nil:
		done(context.Canceled)
	default:
		done(k.unavailable())
	}
	return k.unavailable()
}

// age is how long ago the keys were fetched; known is false if they never were.
func (k *keys) age() (_ time.Duration, known bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.current == nil {
		return 0, false
	}
	return k.now().Sub(k.current.at), true
}

// lackOf is the lack of descriptors that an error comes of, nil if it comes of another.
func lackOf(err error) error {
	for _, lack := range []error{syscall.EMFILE, syscall.ENFILE} {
		if errors.Is(err, lack) {
			return lack
		}
	}
	return nil
}

// refresh fetches now; when that is not due, it says whether keys are known.
func (k *keys) refresh(ctx context.Context) error {
	k.mu.Lock()
	due := k.due() || k.fetching
	have := k.current != nil && k.now().Sub(k.current.at) < keepFor
	k.mu.Unlock()
	switch {
	case due:
		_, err := k.join(ctx)
		return err
	case !have:
		return k.unavailable()
	}
	return nil
}
