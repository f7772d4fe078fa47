package contracttest

import (
	"context"
	"fmt"
	"slices"
	"time"

	"parley/store"
)

// pagingRules are about lists of which not everything is as it should be, and of
// instances that do not agree: S14 and S22.
func pagingRules() []Rule {
	return []Rule{
		{ID: "S14.damaged", Sentence: "entries that do not decode are counted once and end no paging", Needs: Damages, check: damagedEndsNothing},
		{ID: "S14.vanishing", Sentence: "conversations that are deleted while a list is paged end no paging", check: deletesEndNothing},
		{ID: "S22.instances", Sentence: "instances with clocks hours apart and other times to live agree on what there is, in which order, and when it ends", Needs: OwnClock, check: instancesAgree},
	}
}

// pages lists by pages of that length, calls between after each but the last, and
// gives all ids in their order and how many entries were corrupt.
func (e *env) pages(limit int, between func()) (all []string, corrupt int) {
	e.Helper()
	for p := (store.Page{Limit: limit}); ; {
		l := e.list(p)
		if len(l.Conversations) > limit {
			e.broken("%d on a page of %d", len(l.Conversations), limit)
		}
		all, corrupt = append(all, ids(l.Conversations)...), corrupt+l.Corrupt
		if p.Cursor = l.NextCursor; p.Cursor == "" {
			return all, corrupt
		}
		if len(all) > 1000 {
			e.broken("pages of %d do not end", limit)
		}
		between()
	}
}

// startMany starts conversations and gives them newest first.
func (e *env) startMany(n int) []string {
	e.Helper()
	var started []string
	for range n {
		started = append(started, e.start())
		e.Advance(e, time.Second)
	}
	slices.Reverse(started)
	return started
}

// damagedEndsNothing damages whole pages, the ends of pages, and single entries.
func damagedEndsNothing(e *env) {
	var sound []string
	damaged := 0
	for i, id := range e.startMany(30) {
		if i < 8 || i%7 == 6 || i == 29 {
			e.Damage(e, e.owner, id)
			damaged++
		} else {
			sound = append(sound, id)
		}
	}
	for _, limit := range []int{1, 2, 7, 10, 29, 30, 50} {
		got, corrupt := e.pages(limit, func() {})
		e.same(fmt.Sprint("pages of ", limit), got, sound)
		e.same(fmt.Sprint("corrupt entries of pages of ", limit), corrupt, damaged)
	}
}

// deletesEndNothing deletes first between the pages, and then while they are read.
func deletesEndNothing(e *env) {
	started := e.startMany(60)
	var kept, doomed []string
	for i, id := range started {
		if i%3 == 0 {
			kept = append(kept, id)
		} else {
			doomed = append(doomed, id)
		}
	}
	remove := func(id string) { e.must(e.Store.Delete(e.Context(), e.owner, id), "Delete") }
	check := func(got []string) {
		e.Helper()
		seen := map[string]int{}
		for _, id := range got {
			seen[id]++
		}
		for id, n := range seen {
			if n > 1 {
				e.broken("%s was listed %d times", id, n)
			}
		}
		got = slices.DeleteFunc(got, func(id string) bool { return !slices.Contains(kept, id) })
		e.same("those that were kept", got, kept)
	}
	soon := doomed[:20]
	got, _ := e.pages(7, func() {
		for range 2 {
			remove(soon[len(soon)-1])
			soon = soon[:len(soon)-1]
		}
	})
	check(got)
	left := append(slices.Clone(soon), doomed[20:]...)
	done := make(chan error, 1)
	go func() {
		for _, id := range slices.Backward(left) {
			if err := e.Store.Delete(e.Context(), e.owner, id); err != nil {
				done <- err
				return
			}
		}
		done <- nil
	}()
	for deleting := true; deleting; {
		select {
		case err := <-done:
			e.must(err, "Delete")
			deleting = false
		default:
		}
		got, _ := e.pages(4, func() {})
		check(got)
	}
}

// instancesAgree has instances write in turn, and looks through the eyes of each.
func instancesAgree(e *env) {
	const brief = 300 * time.Millisecond
	ahead, behind := e.Instance(e, e.TTL, 3*time.Hour), e.Instance(e, e.TTL, -3*time.Hour)
	short := e.Instance(e, brief, 0)
	var started []string
	var last time.Time
	for _, s := range []store.Store{ahead, behind, behind, ahead, behind} {
		e.Store = s
		id := e.start()
		last = e.later(id, last)
		started = append([]string{id}, started...)
	}
	agree := func() {
		e.Helper()
		for n, s := range []store.Store{ahead, behind, short} {
			e.Store = s
			e.same(fmt.Sprint("the list of instance ", n), ids(e.list(store.Page{}).Conversations), started)
			for _, id := range started {
				c := e.get(id)
				if apart := last.Sub(c.CreatedAt); apart < 0 || apart > time.Hour {
					e.broken("one was created %v before the last was written to", apart)
				}
			}
		}
	}
	agree()
	for range 2 { // the second finds the first in the index, and may drop it
		e.Store = short
		e.ends(e.start(), 20*brief)
		agree()
	}
}

// later writes to a conversation until it is later than that, which the clock of
// a place is after a millisecond.
func (e *env) later(id string, than time.Time) time.Time {
	e.Helper()
	for range 1000 {
		c, err := e.Store.SetStatus(e.Context(), e.owner, id, store.StatusActive)
		e.must(err, "SetStatus")
		if c.UpdatedAt.After(than) {
			return c.UpdatedAt
		}
	}
	e.broken("what is written now is not later than %v", than)
	return than
}

// ends waits for a conversation to end by itself.
func (e *env) ends(id string, within time.Duration) {
	e.Helper()
	ctx, cancel := context.WithTimeout(e.Context(), within)
	defer cancel()
	for tick := time.Tick(within / 200); ; {
		_, err := e.Store.Conversation(ctx, e.owner, id, store.Range{})
		if err != nil {
			e.refused(err, store.ErrNotFound, "Conversation")
			return
		}
		select {
		case <-tick:
		case <-ctx.Done():
			e.broken("it is still there after %v", within)
		}
	}
}
