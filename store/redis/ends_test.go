package redis_test

import (
	"context"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	goredis "github.com/redis/go-redis/v9"

	"parley/contracttest"
	"parley/contracttest/redistest"
	"parley/store"
)

// S15: whatever is written, and however soon after what came before, the conversation is
// kept for nine tenths of its time to live, and no key of it, nor of the lists that it is
// in, ends before its hash.
func TestNothingEndsBeforeItsConversation(t *testing.T) {
	url := redistest.Start(t).URL()
	raw := client(t, url)
	ctx := t.Context()
	for _, age := range []time.Duration{0, ttl / 30, ttl / 12, ttl / 8, ttl / 2} {
		t.Run(age.String(), func(t *testing.T) {
			p := open(t, url)
			o, id := contracttest.NewOwner(), uuid.NewString()
			written := func(what string, err error) {
				t.Helper()
				put(t, err)
				kept := ends(t, raw, id)
				judgeEnds(t, raw, kept, id, what)
				for key, end := range kept { // exactly so much earlier, all of them
					put(t, raw.PExpireAt(ctx, key, time.UnixMilli((end-age).Milliseconds())).Err())
				}
			}
			begin := func(what string, b store.Begin) store.Turn {
				t.Helper()
				b.Owner, b.Conversation, b.Fingerprint = o, id, "f"+strings.ReplaceAll(what, " ", "-")
				if !b.New {
					b.Input = []store.Message{{ID: uuid.NewString(), Role: store.RoleUser, Kind: store.KindText, Text: what}}
				}
				turn, err := p.Store.BeginTurn(ctx, b)
				written(what, err)
				return turn
			}
			said := store.Completion{UpstreamID: "u", Outcome: store.Outcome{Messages: []store.Message{{ID: uuid.NewString(), Role: store.RoleAssistant, Kind: store.KindText, Text: "a"}}}}
			complete := func(what string, turn store.Turn) {
				t.Helper()
				written("the end of "+what, p.Store.CompleteTurn(ctx, turn, said))
			}
			complete("a start", begin("a start", store.Begin{New: true, Key: "k"}))
			for n := range 10 { // the ninth makes the key of the marks
				what := "turn " + strconv.Itoa(n)
				complete(what, begin(what, store.Begin{}))
			}
			complete("the first key", begin("the first key", store.Begin{Key: "first"}))
			complete("step data", begin("step data", store.Begin{Key: "second", Workflow: store.Workflow{StepData: []byte(`{"a":1}`)}}))
			complete("other step data", begin("other step data", store.Begin{Workflow: store.Workflow{StepData: []byte(`{"a":2}`)}}))
			written("a failure", p.Store.FailTurn(ctx, begin("what fails", store.Begin{}), "internal"))
			complete("what failed", begin("what fails", store.Begin{}))
			_, err := p.Store.SetStatus(ctx, o, id, store.StatusActive)
			written("a status", err)
			each(t, raw, "*}:", func(ctx context.Context, key string, _ time.Duration) {
				if rest := key[len(ownerOf(key)):]; rest == "ix" || rest == "s" || rest == "t:"+id {
					put(t, raw.Del(ctx, key).Err())
				}
			})
			complete("a loss", begin("a loss", store.Begin{}))
		})
	}
}

// ends are when the keys of a conversation, and of its owner, end: since 1970.
func ends(t *testing.T, raw *goredis.Client, id string) map[string]time.Duration {
	t.Helper()
	all, owner := map[string]time.Duration{}, ""
	each(t, raw, "*"+id, func(_ context.Context, key string, _ time.Duration) { owner = ownerOf(key) })
	each(t, raw, owner, func(ctx context.Context, key string, _ time.Duration) {
		end, err := raw.PExpireTime(ctx, key).Result()
		put(t, err)
		all[key] = end
	})
	return all
}

// ownerOf is the part of a key that all of an owner have.
func ownerOf(key string) string { return key[:strings.Index(key, "}:")+2] }

// judgeEnds holds the ends of a conversation's keys against that of its hash.
func judgeEnds(t *testing.T, raw *goredis.Client, ends map[string]time.Duration, id, what string) {
	t.Helper()
	var hash time.Duration
	for key, end := range ends {
		if strings.HasSuffix(key, ":c:"+id) {
			hash = end
		}
	}
	now, err := raw.Time(t.Context()).Result()
	put(t, err)
	// Of nine tenths, what the machine takes between the write and this look.
	if left := hash - time.Duration(now.UnixNano()); left < ttl*8/10 || left > ttl {
		t.Errorf("after %s the conversation has %v left", what, left)
	}
	for key, end := range ends {
		name := key[len(ownerOf(key)):]
		if lease := name == "l:"+id || name == "n"; !lease && end < hash {
			t.Errorf("after %s %s ends %v before the conversation", what, name, hash-end)
		}
	}
}
