package redis_test

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	goredis "github.com/redis/go-redis/v9"

	"parley/contracttest"
	"parley/contracttest/redistest"
	"parley/store"
)

// stored is a conversation in Redis with everything that a record can have, and a
// turn that is held in it.
type stored struct {
	p    *contracttest.Place
	raw  *goredis.Client
	o    store.Owner
	id   string
	held store.Turn
	keys map[string]string // names by their letter: c, m, k, l, ix, s
}

const question = "fp-question"

// fill makes one. Unheard says that its last turn is over and nobody heard the
// answer, instead of being held.
func fill(t *testing.T, p *contracttest.Place, raw *goredis.Client, unheard bool) *stored {
	t.Helper()
	ctx := t.Context()
	d := &stored{p: p, raw: raw, o: contracttest.NewOwner(), id: uuid.NewString(), keys: map[string]string{}}
	said := func(text string) []store.Message {
		return []store.Message{{ID: uuid.NewString(), Role: store.RoleUser, Kind: store.KindText, Text: text}}
	}
	turn := func(b store.Begin) store.Turn {
		b.Owner, b.Conversation = d.o, d.id
		got, err := p.Store.BeginTurn(ctx, b)
		put(t, err)
		return got
	}
	end := func(t2 store.Turn, c store.Completion) {
		c.Outcome = store.Outcome{Messages: said("answer"), Extra: []byte(`{"a":1}`)}
		c.UpstreamID = "up"
		put(t, p.Store.CompleteTurn(ctx, t2, c))
	}
	end(turn(store.Begin{New: true, Fingerprint: "start"}), store.Completion{})
	failed := turn(store.Begin{Fingerprint: "fails", Input: said("fails")})
	put(t, p.Store.FailTurn(ctx, failed, "internal"))
	last := store.Begin{Fingerprint: question, Input: said("question"), Key: "key", Workflow: store.Workflow{
		ID: "w", CurrentStep: "step", StepData: []byte(`{"text":"\ud800 \\u"}`), Metadata: []byte(`[1]`),
	}}
	if unheard {
		end(turn(store.Begin{Fingerprint: "keyed", Input: said("keyed"), Key: "key"}), store.Completion{})
		last.Key = ""
		d.held = turn(last)
		end(d.held, store.Completion{Unheard: true})
	} else {
		d.held = turn(last)
	}
	each(t, raw, "*"+d.id, func(_ context.Context, key string, _ time.Duration) { d.name(key) })
	tag := d.keys["c"][:strings.Index(d.keys["c"], "}:")+2]
	d.keys["ix"], d.keys["s"] = tag+"ix", tag+"s"
	return d
}

func (d *stored) name(key string) {
	rest := key[strings.Index(key, "}:")+2:]
	d.keys[rest[:strings.Index(rest, ":")]] = key
}

// dump is everything that is kept, byte for byte.
func (d *stored) dump(t *testing.T) map[string]string {
	t.Helper()
	out := map[string]string{}
	for letter, key := range d.keys {
		v, err := d.raw.Dump(t.Context(), key).Result()
		if err != nil && !errors.Is(err, goredis.Nil) {
			t.Fatal(err)
		}
		if letter != "l" || err == nil {
			out[letter] = v
		}
	}
	return out
}

// methods are the calls that read or change a conversation.
func (d *stored) methods(ctx context.Context) map[string]func() error {
	s, o, id := d.p.Store, d.o, d.id
	begin := func(fp, key string) func() error {
		return func() error {
			_, err := s.BeginTurn(ctx, store.Begin{Owner: o, Conversation: id, Fingerprint: fp, Key: key})
			return err
		}
	}
	return map[string]func() error{
		"BeginTurn":              begin("other", ""),
		"BeginTurn of a repeat":  begin(question, ""),
		"BeginTurn with the key": begin(question, "key"),
		"BeginTurn with a key":   begin("other", "other key"),
		"CompleteTurn":           func() error { return s.CompleteTurn(ctx, d.held, store.Completion{UpstreamID: "u"}) },
		"FailTurn":               func() error { return s.FailTurn(ctx, d.held, "internal") },
		"RenewLease":             func() error { _, err := s.RenewLease(ctx, d.held); return err },
		"Follow":                 func() error { _, err := s.Follow(ctx, store.Follow{Owner: o, Conversation: id}); return err },
		"Stop":                   func() error { _, _, err := s.Stop(ctx, o, id); return err },
		"Publish": func() error {
			_, _, err := s.Publish(ctx, d.held, store.Entry{Data: []byte("1"), Snapshot: true})
			return err
		},
		"SetStatus":               func() error { _, err := s.SetStatus(ctx, o, id, store.StatusCompleted); return err },
		"Conversation":            func() error { _, err := s.Conversation(ctx, o, id, store.Range{}); return err },
		"Conversation after none": func() error { _, err := s.Conversation(ctx, o, id, store.Range{From: 100}); return err },
	}
}

// damaged gives each field values that it cannot have.
var damaged = map[string][]string{
	"v":         {"2", "", "1 "},
	"tenantId":  {"somebody", ""},
	"userId":    {"somebody", ""},
	"createdAt": {"yesterday", "", "2026-02-29T10:00:00.000Z", "2026-11-22T09:15:04Z", "2026-11-22T24:15:04.000Z", "2026-13-22T09:15:04.000Z"},
	"updatedAt": {"yesterday", "", "2026-04-31T10:00:00.000Z", "2100-02-29T10:00:00.000Z"},
	"status":    {"open", ""},
	"ended":     {"x", "0"},
	"turns":     {"-1", "x", "", "1.5", "01", "9999999999999999", "1e3"},
	"n":         {"-1", "x", "", "0", "999", "1.5"},
	"state":     {"sleeping", "", "done", "starting"},
	"fence":     {"-1", "x", "", "1.5"},
	"token":     {"", "with space", "ü"},
	"done":      {"", "with space"},
	"fp":        {"", "with space", "ü"},
	"key":       {"short", "with space in 22 chars", "0123456789012345678901"},
	"keys":      {"", "x", "7", "0"},
	"stepData":  {"", "{", "nonsense", `{"a":}`, `{"a":1} x`},
	"metadata":  {"", "[", "nonsense"},
	"unheard":   {"x", "fp 0 1 0 1 ", "fp 3 0 0 0 ", "fp 3 1 0 99 ", "fp 3 1 0 1 {", "fp -1 1 0 1 "},
	"heardAt":   {"x", "-1"},
	"bytes":     {"x", "-1", ""},
	"last":      {"x", "-1", ""},
	"kept":      {"x", "-1", ""},
	"sd":        {"x", "-1", ""},
	"kt":        {"x", "-1", ""},
}

// free are the fields whose every value is one: what somebody said.
var free = []string{"upstreamId", "workflowId", "currentStep", "f1", "at"}

// S23: whatever is damaged, every method says so, nothing changes, and the list
// counts what it reads. Only a delete changes something: it removes all of it.
func TestDamage(t *testing.T) {
	url := redistest.Start(t).URL()
	raw := client(t, url)
	p := open(t, url)
	ctx := t.Context()
	type damage struct {
		name   string
		do     func(d *stored) error
		spares []string // methods that do not read it
		only   string   // the one method that does; empty for all others
		hidden bool     // the list does not read it: a message, the lease, what a key names
	}
	reads := []string{"Conversation", "Conversation after none"}
	var all []damage
	for field, values := range damaged {
		for _, v := range values {
			spares := []string(nil)
			if field == "key" && len(v) == 22 && !strings.Contains(v, " ") {
				spares = reads // which have no use for idempotency records
			}
			all = append(all, damage{name: "c " + field + " = " + v, spares: spares, hidden: spares != nil, do: func(d *stored) error { return raw.HSet(ctx, d.keys["c"], field, v).Err() }})
		}
	}
	for _, field := range []string{"v", "tenantId", "userId", "createdAt", "updatedAt", "status", "turns", "n", "state", "fence", "token", "fp"} {
		all = append(all, damage{name: "c without " + field, do: func(d *stored) error { return raw.HDel(ctx, d.keys["c"], field).Err() }})
	}
	element := func(at int64, v string) func(d *stored) error {
		return func(d *stored) error { return raw.LSet(ctx, d.keys["m"], at, v).Err() }
	}
	for _, v := range []string{"", "nonsense", "{}", "x {}", "-1 {}", "1", "1 {", "99 {\"id\":\"a\",\"role\":\"user\",\"kind\":\"text\"}"} {
		spares := reads[1:] // which returns no message
		if strings.HasPrefix(v, "99") {
			spares = reads // a turn that commits while it is read looks so
		}
		all = append(all, damage{name: "m last = " + v, do: element(-1, v), spares: spares, hidden: true})
	}
	all = append(all,
		damage{name: "m last, whose size is not noted", spares: reads[1:], hidden: true, do: func(d *stored) error {
			put(t, raw.HDel(ctx, d.keys["c"], "last").Err())
			return element(-1, "nonsense")(d)
		}},
		damage{name: "m first", do: element(0, "nonsense"), only: "Conversation", hidden: true},
		damage{name: "m shorter", do: func(d *stored) error { return raw.LTrim(ctx, d.keys["m"], 1, -1).Err() }},
		damage{name: "m longer", do: func(d *stored) error {
			return raw.LPush(ctx, d.keys["m"], `0 {"id":"a","role":"user","kind":"text"}`).Err()
		}},
		damage{name: "m gone", do: func(d *stored) error { return raw.Del(ctx, d.keys["m"]).Err() }},
		damage{name: "k gone", do: func(d *stored) error { return raw.Del(ctx, d.keys["k"]).Err() }},
		damage{name: "k more", do: func(d *stored) error { return raw.HSet(ctx, d.keys["k"], "x", "y").Err() }},
		damage{name: "l value", hidden: true, do: func(d *stored) error { return raw.Set(ctx, d.keys["l"], "no token", time.Minute).Err() }},
	)
	for _, v := range []string{"", "x", "2 a b c 0 ", "1 2026-11-22T09:15:04.120Z x active 0 ", "1 2026-11-22T09:15:04.120Z 2026-11-22T09:15:04.120Z open 0 ", "1 2026-11-22T09:15:04.120Z 2026-11-22T09:15:04.120Z active -1 "} {
		all = append(all, damage{name: "s = " + v, do: func(d *stored) error { return raw.HSet(ctx, d.keys["s"], d.id, v).Err() }})
	}
	for _, letter := range []string{"c", "m", "k", "l", "ix", "s"} {
		spares := []string(nil)
		if letter == "ix" {
			spares = reads
		}
		all = append(all, damage{name: letter + " of another type", spares: spares, hidden: letter == "l", do: func(d *stored) error {
			put(t, raw.Del(ctx, d.keys[letter]).Err())
			return raw.XAdd(ctx, &goredis.XAddArgs{Stream: d.keys[letter], Values: []string{"a", "b"}}).Err()
		}})
	}
	for _, unheard := range []bool{false, true} {
		for _, c := range all {
			name := "held: " + c.name
			if unheard {
				name = "unheard: " + c.name
			}
			t.Run(name, func(t *testing.T) {
				d := fill(t, p, raw, unheard)
				was := d.dump(t)
				put(t, c.do(d))
				before := d.dump(t)
				if maps.Equal(was, before) || strings.HasPrefix(c.name, "c key ") && unheard {
					return // this record does not have it
				}
				for method, call := range d.methods(ctx) {
					if slices.Contains(c.spares, method) || c.only != "" && c.only != method {
						continue
					}
					if err := call(); !errors.Is(err, store.ErrCorrupt) {
						t.Errorf("%s: %v", method, err)
					}
				}
				if after := d.dump(t); !maps.Equal(before, after) {
					t.Errorf("it was changed: %q, then %q", before, after)
				}
				if whole := strings.HasPrefix(c.name, "ix ") || strings.HasPrefix(c.name, "s of"); whole {
					if _, err := p.Store.List(ctx, d.o, store.Page{}); !errors.Is(err, store.ErrCorrupt) {
						t.Errorf("List: %v", err)
					}
				} else if !c.hidden {
					if l, err := p.Store.List(ctx, d.o, store.Page{}); err != nil || l.Corrupt != 1 || len(l.Conversations) != 0 {
						t.Errorf("List: %+v, %v", l, err)
					}
				}
				put(t, p.Store.Delete(ctx, d.o, d.id))
				for letter, v := range d.dump(t) {
					if v != "" && letter != "ix" && letter != "s" {
						t.Errorf("%s is left after the delete", letter)
					}
				}
			})
		}
	}
}
