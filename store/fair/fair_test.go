package fair_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"parley/store"
	"parley/store/fair"
)

func owner(user string) store.Owner { return store.Owner{Tenant: "t", User: user} }

// Owners take turns, however many pages one of them wants.
func TestOwnersTakeTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := fair.New(1)
		leave, err := p.Enter(t.Context(), owner("greedy"))
		if err != nil {
			t.Fatal(err)
		}
		var mu sync.Mutex
		var order []string
		var all sync.WaitGroup
		for _, user := range []string{"greedy", "greedy", "greedy", "modest", "late"} {
			all.Go(func() {
				leave, err := p.Enter(t.Context(), owner(user))
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				order = append(order, user)
				mu.Unlock()
				time.Sleep(time.Millisecond)
				leave()
			})
			synctest.Wait()
		}
		leave()
		all.Wait()
		if want := []string{"greedy", "modest", "late", "greedy", "greedy"}; !slices.Equal(order, want) {
			t.Errorf("%v, want %v", order, want)
		}
	})
}

// No more than there are places work at once, and no place is lost, whoever gives up.
func TestPlacesAreKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const places = 3
		p := fair.New(places)
		var mu sync.Mutex
		var all sync.WaitGroup
		inside, most, gaveUp := 0, 0, 0
		for i := range 200 {
			all.Go(func() {
				// Some give up at the very moment at which they would have their turn.
				ctx, cancel := context.WithTimeout(t.Context(), time.Duration(1+i%40)*time.Millisecond)
				defer cancel()
				leave, err := p.Enter(ctx, owner(string(rune('a'+i%7))))
				if err != nil {
					mu.Lock()
					defer mu.Unlock()
					gaveUp++
					return
				}
				mu.Lock()
				inside++
				most = max(most, inside)
				mu.Unlock()
				time.Sleep(time.Millisecond)
				mu.Lock()
				inside--
				mu.Unlock()
				leave()
			})
		}
		all.Wait()
		if most != places || gaveUp == 0 {
			t.Errorf("%d at once, %d gave up", most, gaveUp)
		}
		for range places {
			if _, err := p.Enter(t.Context(), owner("a")); err != nil {
				t.Error(err)
			}
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := p.Enter(ctx, owner("a")); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("one more than there are: %v", err)
		}
	})
}

// What is small waits for nothing, what is large for a while, and nobody who left.
func TestWork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := fair.New(1)
		leave, err := p.Work(t.Context(), "Conversation", owner("a"), fair.Large)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := p.Work(t.Context(), "Conversation", owner("b"), fair.Large-1); err != nil {
			t.Errorf("small: %v", err)
		}
		began := time.Now()
		_, err = p.Work(t.Context(), "Conversation", owner("b"), fair.Large)
		if e, ok := errors.AsType[*store.Error](err); !ok || !errors.Is(e, store.ErrOverloaded) || e.Op != "Conversation" || time.Since(began) != fair.Patience {
			t.Errorf("large: %v after %v", err, time.Since(began))
		}
		gone, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		if _, err := p.Work(gone, "Conversation", owner("b"), fair.Large); !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, store.ErrOverloaded) {
			t.Errorf("a caller who left: %v", err)
		}
		leave()
		if _, err := p.Work(t.Context(), "Conversation", owner("b"), fair.Large); err != nil {
			t.Errorf("afterwards: %v", err)
		}
		var unbounded *fair.Places
		for range 2 {
			if _, err := unbounded.Work(t.Context(), "Conversation", owner("b"), fair.Large); err != nil {
				t.Error(err)
			}
		}
		if fair.Processors() == nil {
			t.Error("no processors")
		}
	})
}
