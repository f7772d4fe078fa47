// Package fair lets the owners of conversations take turns at what only a few may do
// at once: to read large pages, and to decode and encode them.
//
// Decoding or encoding a large page keeps a processor busy for milliseconds. With as
// many of them at once as there are processors, every other request waits behind them
// at each of its steps, and the runtime, which asks the network when it has nothing
// else to do, hardly asks. So large pages wait for each other, and processors are left
// to everything small, which waits for nothing here.
package fair

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"time"

	"parley/store"
)

// Large is from how many bytes on messages are large.
const Large = 64 << 10

// Patience is how long work on a large page waits for its turn.
const Patience = 2 * time.Second

// Places are what work on large pages needs. Owners take turns: whoever asks for many
// keeps others back by one of them. It is safe for use from many goroutines. A nil
// *Places bounds nothing.
type Places struct {
	mu      sync.Mutex
	free    int
	waiting map[store.Owner][]chan struct{} // closed when it is their turn
	owners  []store.Owner                   // of those, the next one first
}

// New makes so many places, 1 or more.
func New(n int) *Places {
	return &Places{free: n, waiting: map[store.Owner][]chan struct{}{}}
}

// Processors makes places for half of the processors that this process uses, at least
// one.
func Processors() *Places { return New(max(1, runtime.GOMAXPROCS(0)/2)) }

// Enter waits for a place until ctx is done, whose error it then returns. The caller
// must call leave, once.
func (p *Places) Enter(ctx context.Context, o store.Owner) (leave func(), err error) {
	if p == nil {
		return func() {}, nil
	}
	granted := p.ask(o)
	if granted == nil {
		return p.leave, nil
	}
	select {
	case <-granted:
		return p.leave, nil
	case <-ctx.Done():
	}
	if !p.giveUp(o, granted) {
		p.leave() // it was granted at the last moment
	}
	return nil, ctx.Err()
}

// Work waits for a place for so many bytes of messages, in the Store's method op. What
// is not Large needs none. After Patience it fails with an *store.Error of kind
// ErrOverloaded.
func (p *Places) Work(ctx context.Context, op string, o store.Owner, bytes int) (leave func(), err error) {
	if p == nil || bytes < Large {
		return func() {}, nil
	}
	patient, cancel := context.WithTimeout(ctx, Patience)
	defer cancel()
	leave, err = p.Enter(patient, o)
	switch {
	case err == nil:
		return leave, nil
	case ctx.Err() != nil:
		return nil, fmt.Errorf("store: %s: %w", op, ctx.Err())
	}
	return nil, &store.Error{Op: op, Kind: store.ErrOverloaded, Reason: store.PagesWait, Cause: err}
}

// ask takes a place, or returns what is closed when one is granted.
func (p *Places) ask(o store.Owner) (granted chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.free > 0 { // then nobody waits
		p.free--
		return nil
	}
	if len(p.waiting[o]) == 0 {
		p.owners = append(p.owners, o)
	}
	granted = make(chan struct{})
	p.waiting[o] = append(p.waiting[o], granted)
	return granted
}

// leave gives a place to the owner whose turn it is.
func (p *Places) leave() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.owners) == 0 {
		p.free++
		return
	}
	o := p.owners[0]
	close(p.waiting[o][0])
	p.owners = p.owners[1:]
	if p.waiting[o] = p.waiting[o][1:]; len(p.waiting[o]) > 0 {
		p.owners = append(p.owners, o)
		return
	}
	delete(p.waiting, o)
}

// giveUp takes back what was asked; false if it was granted.
func (p *Places) giveUp(o store.Owner, granted chan struct{}) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	i := slices.Index(p.waiting[o], granted)
	if i < 0 {
		return false
	}
	if p.waiting[o] = slices.Delete(p.waiting[o], i, i+1); len(p.waiting[o]) == 0 {
		delete(p.waiting, o)
		p.owners = slices.DeleteFunc(p.owners, func(other store.Owner) bool { return other == o })
	}
	return true
}
