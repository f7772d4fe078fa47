package memory

import (
	"sort"
	"time"
)

// index is one owner's conversations, newest first and by descending id within
// a millisecond: the order in which Redis reads a sorted set backwards.
type index struct{ entries []entry }

type entry struct {
	updated time.Time
	id      string
}

func (ix *index) put(id string, updated time.Time) {
	ix.remove(id)
	at := sort.Search(len(ix.entries), func(i int) bool {
		e := ix.entries[i]
		return e.updated.Before(updated) || e.updated.Equal(updated) && e.id < id
	})
	ix.entries = append(ix.entries, entry{})
	copy(ix.entries[at+1:], ix.entries[at:])
	ix.entries[at] = entry{updated, id}
}

func (ix *index) remove(id string) {
	for i, e := range ix.entries {
		if e.id == id {
			ix.entries = append(ix.entries[:i], ix.entries[i+1:]...)
			return
		}
	}
}
