package redis_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"
	goredis "github.com/redis/go-redis/v9"

	"parley/contracttest/redistest"
	"parley/store"
	"parley/store/redis"
)

// Legacy names carry no prefix. Two deployments would take each other's records, so
// that only the default one reads them, and one that is told to.
func TestLegacyPrefix(t *testing.T) {
	url := redistest.Start(t).URL()
	o := store.Owner{Tenant: store.DefaultTenant, User: uuid.NewString()}
	id := uuid.NewString()
	open(t, url).PutLegacy(t, o, id, 1, []byte(`{"externalId":"`+id+`","userId":"`+o.User+`","history":[]}`))
	for _, c := range []struct {
		prefix       string
		legacy, want bool
	}{{"", false, true}, {redis.DefaultPrefix, false, true}, {"other:", false, false}, {"other:", true, true}} {
		s, err := redis.New(redis.Options{URL: url, Prefix: c.prefix, Legacy: c.legacy})
		put(t, err)
		_, err = s.Conversation(t.Context(), o, id, store.Range{})
		l, lerr := s.List(t.Context(), o, store.Page{})
		if got := err == nil; got != c.want || !got && !errors.Is(err, store.ErrNotFound) || lerr != nil || (len(l.Conversations) == 1) != c.want {
			t.Errorf("prefix %q, legacy %v: %v; %+v, %v", c.prefix, c.legacy, err, l, lerr)
		}
		if !c.want {
			_, err := s.BeginTurn(t.Context(), store.Begin{Owner: o, Conversation: id, Fingerprint: "f"})
			if derr := s.Delete(t.Context(), o, id); !errors.Is(err, store.ErrNotFound) || !errors.Is(derr, store.ErrNotFound) {
				t.Errorf("prefix %q: BeginTurn %v, Delete %v", c.prefix, err, derr)
			}
		}
		put(t, s.Close())
	}
}

// A key of another program at a legacy name, of whatever type, is no legacy key:
// it breaks neither lists nor calls, and stays as it is.
func TestForeignKeys(t *testing.T) {
	url := redistest.Start(t).URL()
	raw := client(t, url)
	ctx := t.Context()
	fill := map[string]func(key string) error{
		"string": func(key string) error { return raw.Set(ctx, key, "theirs", time.Hour).Err() },
		"hash":   func(key string) error { return raw.HSet(ctx, key, "a", "theirs").Err() },
		"list":   func(key string) error { return raw.RPush(ctx, key, "theirs").Err() },
		"set":    func(key string) error { return raw.SAdd(ctx, key, "theirs").Err() },
		"zset": func(key string) error {
			return raw.ZAdd(ctx, key, goredis.Z{Score: -3.5, Member: "theirs"}, goredis.Z{Score: 1e300, Member: "also theirs"}).Err()
		},
		"stream": func(key string) error {
			return raw.XAdd(ctx, &goredis.XAddArgs{Stream: key, Values: []string{"a", "b"}}).Err()
		},
	}
	for kind, put := range fill {
		for _, at := range []string{"index", "record"} {
			p := open(t, url)
			o := store.Owner{Tenant: store.DefaultTenant, User: uuid.NewString()}
			turn, err := p.Store.BeginTurn(ctx, store.Begin{Owner: o, Conversation: uuid.NewString(), New: true, Fingerprint: "f"})
			if err == nil {
				err = p.Store.CompleteTurn(ctx, turn, store.Completion{UpstreamID: "u"})
			}
			if err != nil {
				t.Fatal(err)
			}
			id, want := uuid.NewString(), []string{turn.Conversation}
			key := "conv:" + id
			switch at {
			case "index":
				key = "user:" + o.User + ":conversations"
			case "record":
				if kind == "string" {
					continue // it is what legacy records are
				}
				p.PutLegacy(t, o, id, 5, nil)
			}
			if err := put(key); err != nil {
				t.Fatal(err)
			}
			l, err := p.Store.List(ctx, o, store.Page{})
			var got []string
			for _, c := range l.Conversations {
				got = append(got, c.ID)
			}
			if err != nil || l.Corrupt != 0 || l.NextCursor != "" || !slices.Equal(got, want) {
				t.Errorf("a %s as %s: %+v, %v", kind, at, l, err)
			}
			for op, call := range map[string]func(context.Context) error{
				"Conversation": func(ctx context.Context) error { _, err := p.Store.Conversation(ctx, o, id, store.Range{}); return err },
				"SetStatus": func(ctx context.Context) error {
					_, err := p.Store.SetStatus(ctx, o, id, store.StatusActive)
					return err
				},
				"Delete": func(ctx context.Context) error { return p.Store.Delete(ctx, o, id) },
			} {
				if err := call(ctx); !errors.Is(err, store.ErrNotFound) {
					t.Errorf("a %s as %s: %s: %v", kind, at, op, err)
				}
			}
			if got := raw.Type(ctx, key).Val(); got != kind {
				t.Errorf("a %s as %s has become a %s", kind, at, got)
			}
		}
	}
}
