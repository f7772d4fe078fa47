package redis

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	goredis "github.com/redis/go-redis/v9"

	"parley/contracttest/redistest"
	"parley/store"
)

// startFor starts a conversation that has been greeted.
func startFor(t *testing.T, s *Store, o store.Owner) string {
	t.Helper()
	id := uuid.NewString()
	turn, err := s.BeginTurn(t.Context(), store.Begin{Owner: o, Conversation: id, New: true, Fingerprint: "f"})
	if err == nil {
		err = s.CompleteTurn(t.Context(), turn, store.Completion{UpstreamID: "u"})
	}
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// pagesOf lists all by pages.
func pagesOf(t *testing.T, s *Store, o store.Owner, limit int, each func(store.Listing)) []string {
	t.Helper()
	var all []string
	for cursor := ""; ; {
		l, err := s.List(t.Context(), o, store.Page{Limit: limit, Cursor: cursor})
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range l.Conversations {
			all = append(all, c.ID)
		}
		each(l)
		if cursor = l.NextCursor; cursor == "" || len(all) > 1000 {
			return all
		}
	}
}

func nothing(store.Listing) {}

// between calls f after the first pipeline that is sent.
type between struct {
	plain
	f func()
	n atomic.Int64
}

func (b *between) ProcessPipelineHook(next goredis.ProcessPipelineHook) goredis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []goredis.Cmder) error {
		err := next(ctx, cmds)
		if b.n.Add(1) == 1 {
			b.f()
		}
		return err
	}
}

// plain is a hook that changes nothing.
type plain struct{}

func (plain) DialHook(next goredis.DialHook) goredis.DialHook          { return next }
func (plain) ProcessHook(next goredis.ProcessHook) goredis.ProcessHook { return next }

// A delete between the two reads of a list leaves out what was deleted, and
// nothing else.
func TestDeleteBetweenReads(t *testing.T) {
	url := redistest.Start(t).URL()
	o, other := store.Owner{Tenant: "t", User: uuid.NewString()}, newStore(t, url, 5*time.Second)
	var started []string
	for range 30 {
		started = append(started, startFor(t, other, o))
	}
	s := newStore(t, url, 5*time.Second)
	first, err := s.List(t.Context(), o, store.Page{Limit: 10})
	if err != nil || len(first.Conversations) != 10 {
		t.Fatalf("%+v, %v", first, err)
	}
	gone := first.Conversations[3].ID
	s.rdb().AddHook(&between{f: func() {
		if err := other.Delete(t.Context(), o, gone); err != nil {
			t.Error(err)
		}
	}})
	got := pagesOf(t, s, o, 10, nothing)
	want := slices.DeleteFunc(started, func(id string) bool { return id == gone })
	if slices.Sort(got); !slices.Equal(got, slices.Sorted(slices.Values(want))) {
		t.Errorf("%d were listed, want the %d that are left", len(got), len(want))
	}
}

// The time that scripts write is formatted as wire.Time does.
func TestScriptTimes(t *testing.T) {
	s := newStore(t, redistest.Start(t).URL(), 5*time.Second)
	text := newScript("", "clock").text + "return iso(tonumber(KEYS[1]))"
	days := []int64{0, 1, 58, 59, 60, 364, 365, 789, 11_016, 11_017, 20_512, 47_540, 47_541, 2_932_896}
	for day := int64(19_700); day < 21_200; day++ {
		days = append(days, day)
	}
	p := s.rdb().Pipeline()
	var want []string
	var got []*goredis.Cmd
	for i, day := range days {
		ms := day*86_400_000 + []int64{0, 1, 86_399_999, 43_200_123, 3_599_999}[i%5]
		want = append(want, time.UnixMilli(ms).UTC().Format("2006-01-02T15:04:05.000Z"))
		got = append(got, p.Eval(t.Context(), text, []string{strconv.FormatInt(ms, 10)}))
	}
	if _, err := p.Exec(t.Context()); err != nil {
		t.Fatal(err)
	}
	for i, cmd := range got {
		if cmd.Val() != want[i] {
			t.Errorf("%v, want %s", cmd.Val(), want[i])
		}
	}
}

// What the first edition stored is listed, by this edition and by an instance with
// a shorter time to live; and what this edition stores is of the same form, so that
// the first can be gone back to.
func TestFirstEdition(t *testing.T) {
	url := redistest.Start(t).URL()
	s := newStore(t, url, 5*time.Second)
	ctx, o := t.Context(), store.Owner{Tenant: "t", User: "u"}
	old, written := uuid.NewString(), time.Now().Add(-5*time.Hour).UTC().Truncate(time.Millisecond)
	k := s.keys(o, old)
	stamp := written.Format("2006-01-02T15:04:05.000Z")
	p := s.rdb().Pipeline()
	p.HSet(ctx, k[keyConversation], "v", "1", "tenantId", "t", "userId", "u", "createdAt", stamp, "updatedAt", stamp,
		"status", "active", "turns", "0", "n", "0", "state", "done", "fence", "1", "token", "x", "done", "x", "fp", "f")
	p.ZAdd(ctx, k[keyIndex], goredis.Z{Score: float64(written.UnixMilli()), Member: old})
	p.HSet(ctx, k[keySummaries], old, "1 "+stamp+" "+stamp+" active 0 ")
	for _, key := range []string{k[keyConversation], k[keyIndex], k[keySummaries]} {
		p.PExpire(ctx, key, 19*time.Hour)
	}
	if _, err := p.Exec(ctx); err != nil {
		t.Fatal(err)
	}
	short, err := New(Options{URL: url, TTL: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = short.Close() })
	newer := startFor(t, short, o)
	startFor(t, short, o) // which sweeps
	if got := pagesOf(t, s, o, 1, nothing); len(got) != 3 || got[2] != old {
		t.Errorf("listed %v, want %s last of three", got, old)
	}
	if left := s.rdb().PTTL(ctx, k[keyIndex]).Val(); left < 18*time.Hour {
		t.Errorf("the index ends in %v, before what it lists", left)
	}
	summary := s.rdb().HGet(ctx, k[keySummaries], newer).Val()
	m := regexp.MustCompile(`^1 (\S+Z) (\S+Z) active 0 $`).FindStringSubmatch(summary)
	if m == nil {
		t.Fatalf("the summary is %q", summary)
	}
	updated, err := time.Parse(time.RFC3339, m[2])
	if score := s.rdb().ZScore(ctx, k[keyIndex], newer).Val(); err != nil || int64(score) != updated.UnixMilli() {
		t.Errorf("score %v for %s", score, m[2])
	}
}

// putLegacy puts a legacy record of that size there.
func putLegacy(t *testing.T, s *Store, o store.Owner, score float64, size int) string {
	t.Helper()
	id := uuid.NewString()
	record := fmt.Sprintf(`{"externalId":%q,"userId":%q,"tenantId":%q,"history":[{"role":"user","text":%q}]}`, id, o.User, o.Tenant, strings.Repeat("x", size))
	if err := s.rdb().Set(t.Context(), legacyKey(id), record, time.Hour).Err(); err != nil {
		t.Fatal(err)
	}
	if err := s.rdb().ZAdd(t.Context(), legacyIndexKey(o), goredis.Z{Score: score, Member: id}).Err(); err != nil {
		t.Fatal(err)
	}
	return id
}

// A page with legacy records costs three round trips, whatever their number, and
// no more bytes than are allowed, whatever their size.
func TestLegacyCost(t *testing.T) {
	Slow(t)
	s, err := New(Options{URL: redistest.Start(t).URL(), roleInterval: time.Hour}) // whose questions are no call's
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	count := &traffic{}
	s.rdb().AddHook(count)
	if err := s.Ping(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ records, size, pages int }{{120, 1000, 3}, {40, 1 << 20, 6}, {3, 10 << 20, 3}} {
		o := store.Owner{Tenant: "t", User: uuid.NewString()}
		var put []string
		for i := range c.records {
			put = append(put, putLegacy(t, s, o, float64(i), c.size))
		}
		slices.Reverse(put)
		pages, most := 0, int64(max(maxLegacyBytes, c.size))+64<<10
		trips, received := count.roundTrips.Load(), count.received.Load()
		got := pagesOf(t, s, o, store.MaxPage, func(store.Listing) {
			pages++
			if n := count.roundTrips.Load() - trips; n > 3 {
				t.Errorf("a page of %d records of %d bytes took %d round trips", c.records, c.size, n)
			}
			if n := count.received.Load() - received; n > most {
				t.Errorf("a page of %d records of %d bytes received %d", c.records, c.size, n)
			}
			trips, received = count.roundTrips.Load(), count.received.Load()
		})
		if !slices.Equal(got, put) || pages != c.pages {
			t.Errorf("%d of %d records of %d bytes on %d pages, want %d", len(got), len(put), c.size, pages, c.pages)
		}
	}
}
