package redis

import (
	"bytes"
	"flag"
	"fmt"
	"math"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	goredis "github.com/redis/go-redis/v9"

	"parley/contracttest/redistest"
	"parley/store"
)

var updateGuide = flag.Bool("update", false, "write the sizing table of the operator's guide")

// figure is something that Redis is asked for: what was measured of it, and the most
// that a test lets it be.
type figure struct{ measured, budget float64 }

// The figures of the sizing table. TestMemoryBudget holds bytes to them,
// TestTimeBudget times.
var (
	bytesPerConversation = figure{1010, 1024} // beside its messages
	bytesPerMessage      = figure{33, 60}     // beside its JSON
	bytesPerKey          = figure{290, 400}   // an idempotency key, with what a replay needs

	// In times of what a PING takes, which is pingTime on the machine of the table.
	timePerTurn  = figure{9.5, 18} // begin and complete
	timePerStart = figure{10.5, 21}
	timePerList  = figure{3, 6}   // of one conversation
	timePerRead  = figure{3.5, 8} // of the last turn
)

// pingTime is the time of Redis's main thread for a PING, on a quiet machine.
const pingTime = 14 * time.Microsecond

// holds fails a test whose measurement is over the budget, or so far from the figure
// that the table is wrong.
func (f figure) holds(t *testing.T, what string, got, off float64) {
	t.Helper()
	if got > f.budget {
		t.Errorf("%s: %.1f, budget %.0f", what, got, f.budget)
	}
	if math.Abs(got-f.measured) > off*f.measured {
		t.Errorf("%s: %.1f, and the sizing table has %.1f", what, got, f.measured)
	}
}

// spent is what Redis's main thread, which runs all commands, has used of a processor
// until now, in seconds. What else runs on the machine is not in it.
func spent(t *testing.T, s *Store) float64 {
	t.Helper()
	found := regexp.MustCompile(`used_cpu_(?:sys|user)_main_thread:([0-9.]+)`).FindAllStringSubmatch(s.rdb().Info(t.Context(), "cpu").Val(), -1)
	if len(found) != 2 {
		t.Fatal("Redis does not tell the time of its main thread")
	}
	sum := 0.0
	for _, m := range found {
		n, err := strconv.ParseFloat(m[1], 64)
		if err != nil {
			t.Fatal(err)
		}
		sum += n
	}
	return sum
}

// greet starts a conversation of somebody else.
func greet(t *testing.T, s *Store, who store.Owner, greeting string) {
	t.Helper()
	turn, err := s.BeginTurn(t.Context(), store.Begin{Owner: who, Conversation: uuid.NewString(), New: true, Fingerprint: "start"})
	if err == nil {
		done := store.Completion{Outcome: store.Outcome{Messages: []store.Message{textOf(store.RoleAssistant, greeting)}}, UpstreamID: uuid.NewString()}
		err = s.CompleteTurn(t.Context(), turn, done)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// Budget: what the main thread of Redis, the scarce resource, may spend on a call, in
// times of what it spends on a PING at the same time on the same machine.
func TestTimeBudget(t *testing.T) {
	s, err := New(Options{URL: redistest.Start(t).URL(), roleInterval: time.Hour}) // whose questions are no call's
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	text := strings.Repeat("x", 300)
	c, n := newTalk(t, s), 0
	calls := map[string]struct {
		figure figure
		call   func()
	}{
		"a turn":  {timePerTurn, func() { n++; c.turn(c.says(n, text), text) }},
		"a start": {timePerStart, func() { greet(t, s, store.Owner{Tenant: "t", User: uuid.NewString()}, text) }},
		"a list": {timePerList, func() {
			if _, err := s.List(t.Context(), owner, store.Page{}); err != nil {
				t.Fatal(err)
			}
		}},
		"a read": {timePerRead, func() { c.read(store.Range{Limit: 2}) }},
	}
	const rounds, times = 9, 60
	measure := func(call func()) float64 {
		before := spent(t, s)
		for range times {
			call()
		}
		return (spent(t, s) - before) / times
	}
	ratios := map[string][]float64{}
	for range rounds {
		ping := measure(func() { s.rdb().Ping(t.Context()) })
		for what, c := range calls {
			ratios[what] = append(ratios[what], measure(c.call)/ping)
		}
	}
	for what, c := range calls {
		slices.Sort(ratios[what])
		t.Logf("%s: %.1f PINGs of %.1f", what, ratios[what], c.figure.measured)
		if got := ratios[what][rounds/2]; got > c.figure.budget {
			t.Errorf("%s takes as long as %.1f PINGs, budget %.0f", what, got, c.figure.budget)
		}
	}
}

// An idempotency key costs Redis no more than the sizing table says.
func TestKeyBudget(t *testing.T) {
	s := newStore(t, redistest.Start(t).URL(), 5*time.Second)
	const turns = 40
	used := func(keyed bool) (sum float64) {
		c := newTalk(t, s)
		for n := range turns {
			b := c.says(n, "q")
			if keyed {
				b.Key = uuid.NewString()
			}
			c.turn(b, "a")
		}
		for _, k := range s.keys(owner, c.id) {
			sum += float64(s.rdb().MemoryUsage(t.Context(), k, 0).Val())
		}
		return sum
	}
	bytesPerKey.holds(t, "an idempotency key", (used(true)-used(false))/turns, 0.25)
}

// The sizing table of the operator's guide has the figures above, and what follows from
// them for a service of a given size.
func TestSizingTable(t *testing.T) {
	const guide = "../../telemetry/README.md"
	old, err := os.ReadFile(guide)
	if err != nil {
		t.Fatal(err)
	}
	section := regexp.MustCompile(`(?s)<!-- sizing -->\n.*<!-- /sizing -->`)
	if !section.Match(old) {
		t.Fatal("the guide has no section sizing")
	}
	want := section.ReplaceAllLiteral(old, []byte("<!-- sizing -->\n"+sizing()+"<!-- /sizing -->"))
	if *updateGuide {
		if err := os.WriteFile(guide, want, 0o600); err != nil {
			t.Fatal(err)
		}
	} else if !bytes.Equal(old, want) {
		t.Error("the sizing table is out of date; go test ./store/redis -run SizingTable -update writes it")
	}
}

// sizing writes the section.
func sizing() string {
	const (
		textBytes        = 300
		usersPerDay      = 1e6
		talksPerUser     = 2
		turnsPerTalk     = 8
		peak             = 5 // times the mean
		manyTalks        = 1e8
		usable           = 20e9 // of one primary, in bytes
		slots            = 16384
		messagesPerTalk  = 1 + 2*turnsPerTalk
		secondsPerDay    = 24 * 60 * 60
		turnsPerSecond   = usersPerDay * talksPerUser * turnsPerTalk / secondsPerDay
		startsPerSecond  = usersPerDay * talksPerUser / secondsPerDay
		messageJSONBytes = len(`{"id":"","role":"user","kind":"text","text":""}`) + 36 + textBytes
	)
	var opt goredis.Options
	bound(&opt, DefaultTimeout)
	alone := opt.PoolSize
	narrow(&opt)
	micros := func(f figure) float64 { return f.measured * float64(pingTime) / float64(time.Microsecond) }
	perTalk := bytesPerConversation.measured + messagesPerTalk*(float64(messageJSONBytes)+bytesPerMessage.measured)
	keys := turnsPerTalk * bytesPerKey.measured
	busy := peak * (turnsPerSecond*(micros(timePerTurn)+micros(timePerRead)+micros(timePerList)) + startsPerSecond*micros(timePerStart)) / 1e6
	primaries := math.Ceil(manyTalks * perTalk / usable)

	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	line("| | measured | a test fails above |")
	line("| --- | --- | --- |")
	line("| a conversation, beside its messages | %s bytes | %s bytes |", grouped(bytesPerConversation.measured), grouped(bytesPerConversation.budget))
	line("| a message, beside its JSON | %.0f bytes | %.0f bytes |", bytesPerMessage.measured, bytesPerMessage.budget)
	line("| an idempotency key | %.0f bytes | %.0f bytes |", bytesPerKey.measured, bytesPerKey.budget)
	for _, row := range []struct {
		what string
		figure
	}{
		{"a turn: begin and complete", timePerTurn}, {"a start, likewise", timePerStart}, {"a list of one conversation", timePerList}, {"a read of the last turn", timePerRead},
	} {
		line("| %s | %.0f µs, or %.1f `PING`s | %.0f `PING`s |", row.what, micros(row.figure), row.measured, row.budget)
	}
	line("")
	line("So one core of Redis does about %s turns a second. A conversation of %d turns with texts of %d bytes takes %.1f KB,", grouped(two(1e6/micros(timePerTurn))), turnsPerTalk, textBytes, perTalk/1e3)
	line("and %.1f KB more if every turn has an idempotency key.", keys/1e3)
	line("")
	line("| | 10⁶ users a day, %d conversations of %d turns each | 10⁸ conversations kept |", talksPerUser, turnsPerTalk)
	line("| --- | --- | --- |")
	line("| memory | %.0f GB with `REDIS_TTL` of a day | %s GB |", two(usersPerDay*talksPerUser*perTalk/1e9), grouped(two(manyTalks*perTalk/1e9)))
	line("| primaries of %.0f GB each | 1 | %.0f, and as many replicas |", usable/1e9, primaries)
	line("| turns a second | %.0f on average, %.0f at the peak | room for %s |", turnsPerSecond, two(peak*turnsPerSecond), grouped(two(primaries*1e6/micros(timePerTurn))))
	line("| time of Redis at the peak | %.1f of one core, with a list and a read for each turn | |", busy)
	line("| in one slot | | %s conversations, %.0f MB |", grouped(two(manyTalks/slots)), two(manyTalks/slots*perTalk/1e6))
	line("| connections of an instance | up to %d | up to %.0f |", alone, primaries*float64(opt.PoolSize))
	line("| keys that an instance reads for `/health` | 1 a second | %.0f a second |", primaries)
	return b.String()
}

// two rounds to two digits: more are not known.
func two(v float64) float64 {
	unit := math.Pow(10, math.Floor(math.Log10(v))-1)
	return math.Round(v/unit) * unit
}

// grouped writes a whole number with commas.
func grouped(v float64) string {
	s := strconv.FormatFloat(v, 'f', 0, 64)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
