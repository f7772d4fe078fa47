// Package history checks sequences of calls, which single rules cannot cover.
// Linearizable runs concurrent clients, some of whose requests and replies are lost,
// and checks that the history is linearizable. Same runs random calls of one client
// against two stores and checks that both return the same results.
package history

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
	"github.com/google/uuid"

	"parley/contracttest"
	"parley/store"
)

// Bounds of one history. A checker's time grows steeply with them.
const (
	clients   = 4
	rounds    = 5
	checkTime = 20 * time.Second
)

// Linearizable runs concurrent clients on one conversation of the place. The seed
// decides what they do. It returns "" if the history is linearizable: the results are
// those of some sequential order in which each call takes effect between its start
// and its end. Of a call whose request or reply was lost the client knows neither, and
// it may have taken effect until it was over, or never. With lapses, the clock is
// sometimes advanced until leases expire.
func Linearizable(tb testing.TB, p *contracttest.Place, seed uint64, lapses bool) string {
	tb.Helper()
	r := &run{tb: tb, place: p, lapses: lapses, owner: contracttest.NewOwner(), id: uuid.NewString(), began: time.Now()}
	r.start()
	handles := []store.Store{p.Store, p.Reopen(tb)}
	if lapses {
		// The concurrent clients may or may not run into an expired lease, so one
		// client does so first.
		c := &client{run: r, number: clients, store: handles[0], rand: rand.New(rand.NewPCG(seed, clients)), reliable: true}
		c.overtaken()
	}
	var running sync.WaitGroup
	for n := range clients {
		c := &client{run: r, number: n, store: handles[n%len(handles)], rand: rand.New(rand.NewPCG(seed, uint64(n)))}
		running.Go(c.runTurns)
	}
	running.Wait()
	r.late.Wait()
	last := &client{run: r, store: p.Store}
	last.get()
	switch porcupine.CheckOperationsTimeout(modelOf(lapses), r.calls, checkTime) {
	case porcupine.Ok:
		return ""
	case porcupine.Unknown:
		return fmt.Sprintf("seed %d: not decided within %v", seed, checkTime)
	default:
		return fmt.Sprintf("seed %d: no order explains\n%s", seed, r.describe())
	}
}

// run is one history of concurrent calls.
type run struct {
	tb     testing.TB
	place  *contracttest.Place
	lapses bool
	owner  store.Owner
	id     string
	began  time.Time
	late   sync.WaitGroup // calls whose client no longer waits

	mu    sync.Mutex
	calls []porcupine.Operation
}

const greeting = "hello"

func (r *run) start() {
	turn, err := r.place.Store.BeginTurn(r.tb.Context(), store.Begin{Owner: r.owner, Conversation: r.id, New: true, Fingerprint: "start"})
	if err == nil {
		err = r.place.Store.CompleteTurn(r.tb.Context(), turn, completion(greeting))
	}
	if err != nil {
		r.tb.Fatalf("start: %v", err)
	}
}

func completion(text string) store.Completion {
	return store.Completion{UpstreamID: "u", Outcome: store.Outcome{Messages: message(store.RoleAssistant, text)}}
}

func message(role store.Role, text string) []store.Message {
	return []store.Message{{ID: uuid.NewString(), Role: role, Kind: store.KindText, Text: text}}
}

// add records a call that is over, whether or not its client has waited for that: with
// calls that could take effect at any time the orders to try would be too many.
func (r *run) add(client int, in input, began int64, out output) {
	ended := time.Since(r.began).Nanoseconds()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.calls = append(r.calls, porcupine.Operation{ClientId: client, Input: in, Call: began, Output: out, Return: ended})
}

// describe lists the calls of the history.
func (r *run) describe() string {
	var b strings.Builder
	for _, c := range r.calls {
		fmt.Fprintf(&b, "%10d %12d client %d: %+v -> %+v\n", c.Call, c.Return, c.ClientId, c.Input, c.Output)
	}
	return b.String()
}
