package redis

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"parley/contracttest/redistest"
	"parley/store"
)

// price is what a call of the store costs, in figures that no machine changes.
type price struct {
	commands       int // that Redis runs, the script and those inside of it
	sent, received int // bytes
}

// prices are the costs of every call, as they are today. Commands are held exactly, and
// bytes from above and to a tenth from below: whoever makes a call cheaper lowers its
// figures here, so that it stays so.
func prices() map[string]price {
	return map[string]price{
		"start: BeginTurn":          {12, 927, 117},
		"start: CompleteTurn":       {24, 1020, 31},
		"BeginTurn":                 {14, 914, 118},
		"CompleteTurn":              {14, 1020, 31},
		"with a key: BeginTurn":     {18, 937, 118},
		"with a key: CompleteTurn":  {17, 1020, 31},
		"replay: BeginTurn":         {12, 1048, 255},
		"a turn to fail: BeginTurn": {16, 914, 118},
		"RenewLease":                {11, 711, 45},
		"Follow":                    {14, 787, 78},
		"Publish":                   {15, 806, 52},
		"Stop":                      {11, 686, 45},
		"FailTurn":                  {14, 806, 31},
		"adoption: BeginTurn":       {15, 914, 118},
		"followed: CompleteTurn":    {21, 1020, 31},
		"Conversation":              {9, 1260, 1153},
		"List":                      {6, 648, 691},
		"SetStatus":                 {13, 707, 570},
		"Delete":                    {12, 920, 37},
	}
}

// counter counts the commands that a server runs.
type counter struct {
	t     *testing.T
	admin *goredis.Client
}

// of is how often each command ran in a call; what asks for it is left out.
func (c counter) of(call func() error) map[string]int {
	c.t.Helper()
	if err := c.admin.ConfigResetStat(c.t.Context()).Err(); err != nil {
		c.t.Fatal(err)
	}
	if err := call(); err != nil {
		c.t.Fatal(err)
	}
	text, err := c.admin.Info(c.t.Context(), "commandstats").Result()
	if err != nil {
		c.t.Fatal(err)
	}
	ran := map[string]int{}
	for line := range strings.Lines(text) {
		name, value, _ := strings.Cut(line, ":calls=")
		name, ok := strings.CutPrefix(name, "cmdstat_")
		if !ok || name == "info" || strings.HasPrefix(name, "config") {
			continue
		}
		calls, _, _ := strings.Cut(value, ",")
		if ran[name], err = strconv.Atoi(calls); err != nil {
			c.t.Fatal(err)
		}
	}
	return ran
}

// Redis is the part that cannot be had twice for one user: what a call has it run, and
// what goes over the wire, is held here.
func TestCallsCost(t *testing.T) {
	server := redistest.Start(t)
	s, err := New(Options{URL: server.URL(), roleInterval: time.Hour}) // whose questions are no call's
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	count := &traffic{}
	s.rdb().AddHook(count)
	opt, err := goredis.ParseURL(server.URL())
	if err != nil {
		t.Fatal(err)
	}
	admin := goredis.NewClient(opt)
	t.Cleanup(func() { _ = admin.Close() })
	commands := counter{t, admin}

	got := map[string]price{}
	ctx := t.Context()
	var turn store.Turn
	var id string
	began := func(b store.Begin) func() error {
		return func() (err error) {
			b.Owner, b.Conversation = owner, id
			turn, err = s.BeginTurn(ctx, b)
			return err
		}
	}
	completed := func() error {
		out := store.Outcome{Messages: []store.Message{textOf(store.RoleAssistant, "answer")}, Extra: []byte(`{"latencyMs":12}`)}
		return s.CompleteTurn(ctx, turn, store.Completion{Outcome: out, UpstreamID: "u"})
	}
	says := func(n int, key string) store.Begin {
		return store.Begin{Fingerprint: fmt.Sprintf("%043d", n), Key: key, Input: []store.Message{textOf(store.RoleUser, "question")}}
	}
	type step struct {
		name string
		call func() error
	}
	steps := []step{
		{"start: BeginTurn", began(store.Begin{New: true, Fingerprint: strings.Repeat("f", 43)})},
		{"start: CompleteTurn", completed},
		{"BeginTurn", began(says(1, ""))},
		{"CompleteTurn", completed},
		{"with a key: BeginTurn", began(says(2, "key"))},
		{"with a key: CompleteTurn", completed},
		{"replay: BeginTurn", began(says(2, "key"))},
		{"a turn to fail: BeginTurn", began(says(3, ""))},
		{"RenewLease", func() error { _, err := s.RenewLease(ctx, turn); return err }},
		{"Follow", func() error { _, err := s.Follow(ctx, store.Follow{Owner: owner, Conversation: id}); return err }},
		{"Publish", func() error {
			_, _, err := s.Publish(ctx, turn, store.Entry{Data: []byte("1"), Snapshot: true})
			return err
		}},
		{"Stop", func() error { _, _, err := s.Stop(ctx, owner, id); return err }},
		{"FailTurn", func() error { return s.FailTurn(ctx, turn, "internal") }},
		{"adoption: BeginTurn", began(says(3, ""))},
		{"followed: CompleteTurn", completed},
		{"Conversation", func() error { _, err := s.Conversation(ctx, owner, id, store.Range{}); return err }},
		{"List", func() error { _, err := s.List(ctx, owner, store.Page{}); return err }},
		{"SetStatus", func() error { _, err := s.SetStatus(ctx, owner, id, store.StatusCompleted); return err }},
		{"Delete", func() error { return s.Delete(ctx, owner, id) }},
	}
	// The first round has Redis learn the scripts, and the owner have an index.
	for round := range 2 {
		id = fmt.Sprintf("00000000-0000-4000-8000-%012d", round)
		for _, step := range steps {
			sent, received := count.sent.Load(), count.received.Load()
			ran := commands.of(step.call)
			p := price{sent: int(count.sent.Load() - sent), received: int(count.received.Load() - received)}
			for _, n := range ran {
				p.commands += n
			}
			got[step.name] = p
			if round == 1 {
				t.Logf("%s: %v", step.name, ran)
			}
		}
	}
	want := prices()
	for _, name := range slices.Sorted(maps.Keys(got)) {
		p, w := got[name], want[name]
		if p.commands != w.commands {
			t.Errorf("%s has Redis run %d commands, and %d is in the table", name, p.commands, w.commands)
		}
		for what, b := range map[string][2]int{"sends": {p.sent, w.sent}, "receives": {p.received, w.received}} {
			if b[0] > b[1] || b[0] < b[1]*9/10 {
				t.Errorf("%s %s %d bytes, and %d is in the table", name, what, b[0], b[1])
			}
		}
	}
	if len(want) != len(got) {
		t.Errorf("%d calls are in the table, and %d were tried", len(want), len(got))
	}
}
