//go:build linux

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// The sink of TestBench is this program, as that of the bench is.
func TestMain(m *testing.M) {
	if len(os.Args) == 2 && os.Args[1] == sinkWord {
		if err := serveSink(context.Background(), os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

func TestParseUse(t *testing.T) {
	info := "# Stats\r\ntotal_net_input_bytes:10\r\ntotal_net_output_bytes:20\r\n# CPU\r\nused_cpu_sys:1.5\r\nused_cpu_user:0.25\r\nused_cpu_sys_children:9\r\n" +
		"# Commandstats\r\ncmdstat_info:calls=7,usec=1\r\ncmdstat_evalsha:calls=2,usec=9\r\ncmdstat_hget:calls=3,usec=1\r\n"
	want := redisUse{processor: 1750 * time.Millisecond, commands: 5, in: 10, out: 20}
	if got, err := parseUse(info); err != nil || got != want {
		t.Errorf("%+v, %v", got, err)
	}
	for _, bad := range []string{"", strings.Replace(info, "used_cpu_sys:", "x:", 1), strings.Replace(info, "calls=3", "calls=x", 1)} {
		if got, err := parseUse(bad); err == nil {
			t.Errorf("%q: %+v", bad, got)
		}
	}
}

func TestProc(t *testing.T) {
	if _, err := os.Stat("/proc/self/stat"); err != nil {
		t.Skip("there is no /proc here")
	}
	before, err := processorTime(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	q := &quiet{}
	for after := before; after-before < 2*tick; {
		q.count()
		if after, err = processorTime(os.Getpid()); err != nil {
			t.Fatal(err)
		}
	}
	if all, err := machineTime(); err != nil || all < before {
		t.Errorf("the machine has used %v, %v, and this process %v", all, err, before)
	}
	if n, err := resident(os.Getpid()); err != nil || n < 1<<20 {
		t.Errorf("%d bytes in memory, %v", n, err)
	}
}

func TestSpread(t *testing.T) {
	for _, c := range []struct {
		values []float64
		want   string
	}{
		{nil, "0.00 (0.00-0.00)"}, {[]float64{3}, "3.00 (3.00-3.00)"}, {[]float64{3, 1}, "2.00 (1.00-3.00)"}, {[]float64{9, 1, 3, 4, 2}, "3.00 (1.00-9.00)"},
	} {
		if got := spreadOf(c.values).String(); got != c.want {
			t.Errorf("%v: %s, want %s", c.values, got, c.want)
		}
	}
}

// tallied is a judged cell in which a subject did so much for each that the bare service did.
func tallied(subject string, rates, costs []float64) *results {
	t := &tally{cell: cell{Route: "POST send", Judged: true}, Subjects: []*score{{Name: bareName}, {Name: subject}}}
	for i := range rates {
		t.Subjects[0].Samples = append(t.Subjects[0].Samples, sample{PerSecond: 1000, P99: 10, ServerCPU: 100, RedisCPU: 50})
		t.Subjects[1].Samples = append(t.Subjects[1].Samples, sample{PerSecond: 1000 * rates[i], P99: 10 * costs[i], ServerCPU: 100 * costs[i], RedisCPU: 50 * costs[i]})
	}
	t.sum()
	return &results{Plan: full(), Quiet: quiet{Others: []float64{0.01}, Counting: []float64{5, 5.1}}, Cells: []*tally{t}}
}

func TestJudge(t *testing.T) {
	good, bad := []float64{0.95, 0.2, 0.93, 0.94, 1}, []float64{0.5, 0.95, 0.6, 0.5, 0.4}
	cheap, dear := []float64{1, 9, 1.1, 1.2, 1}, []float64{1.6, 1, 2, 3, 1.9}
	for _, c := range []struct {
		name         string
		rates, costs []float64
		reached      bool
	}{{"good", good, cheap, true}, {"bad", bad, dear, false}} {
		r := tallied("off", c.rates, c.costs)
		r.judge()
		if r.Unjudged != "" || len(r.Verdict) != 4 {
			t.Fatalf("%s: %q %+v", c.name, r.Unjudged, r.Verdict)
		}
		for _, v := range r.Verdict {
			if v.Reached != c.reached {
				t.Errorf("%s: %+v", c.name, v)
			}
		}
	}
	for name, change := range map[string]func(*results){
		"others":      func(r *results) { r.Quiet.Others = append(r.Quiet.Others, 0.3) },
		"slowed down": func(r *results) { r.Quiet.Counting = append(r.Quiet.Counting, 7) },
		"two rounds":  func(r *results) { r.Plan.Rounds = 2 },
	} {
		r := tallied("off", good, cheap)
		change(r)
		r.judge()
		var text bytes.Buffer
		if err := r.print(&text); err != nil || r.Unjudged == "" || len(r.Verdict) > 0 || !strings.Contains(text.String(), r.Unjudged) {
			t.Errorf("%s: %q %+v, %v", name, r.Unjudged, r.Verdict, err)
		}
	}
}

func TestOthers(t *testing.T) {
	u := usage{wall: time.Second, all: 0, own: time.Second}
	if got := u.others(); got != 0 { // what is ours was rounded up
		t.Errorf("others took %v", got)
	}
	if got := (usage{}).others(); got != 0 {
		t.Errorf("others took %v of no time", got)
	}
}

func TestOptions(t *testing.T) {
	if o, err := parseOptions([]string{"-quick", "-programs", "x"}, io.Discard); err != nil || o.plan.Rounds >= judgedRounds || o.programs != "x" {
		t.Errorf("%+v, %v", o, err)
	}
	for _, args := range [][]string{{"-none"}, {"extra"}, {"-programs", ""}} {
		if _, err := parseOptions(args, io.Discard); err == nil {
			t.Errorf("%q is taken", args)
		}
	}
}

// A bench that nobody runs for a month must still run: everything once, as short as can be.
func TestBench(t *testing.T) {
	if os.Getenv("PARLEY_SLOW") == "" {
		t.Skip("takes many seconds: make race runs it")
	}
	dir := t.TempDir()
	build := exec.CommandContext(t.Context(), "go", "build", "-o", dir+"/", "parley/cmd/parley", "parley/cmd/copilot-emulator", "parley/cmd/parley-bench/bare")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	b := &bench{began: time.Now(), self: os.Args[0], options: options{programs: dir, plan: plan{
		Rounds: 1, Window: 10 * time.Millisecond, Judged: 10 * time.Millisecond, Warm: time.Millisecond, Reads: []int{4}, Streams: 40, Turns: 10,
	}}}
	var err error
	if b.redis, err = startRedis(t.Context(), t, ""); err != nil {
		t.Fatal(err)
	}
	r, err := b.all(t.Context(), io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range r.Cells {
		for _, s := range c.Subjects {
			if m := s.Median; m.Requests == 0 || m.PerSecond == 0 || m.P99 < m.P50 || m.RedisCommands < 1 || m.Allocations < 10 || m.Resident < 1<<20 {
				t.Errorf("%s, %s: %+v", s.Name, c.Route, m)
			}
		}
	}
	if r.Many == nil || r.Many.Streams != 40 || r.Many.ResidentWith == 0 || r.Many.With.Requests == 0 {
		t.Errorf("%+v", r.Many)
	}
	if _, err := json.Marshal(r); err != nil {
		t.Error(err)
	}
}
