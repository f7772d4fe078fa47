//go:build linux

package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"parley/contracttest/runner"
)

// run is the program. What it measured it writes to stdout, and how far it is to stderr.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	if slices.Equal(args, []string{sinkWord}) {
		return serveSink(ctx, stdout)
	}
	o, err := parseOptions(args, stderr)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return nil
	case err != nil:
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	b := &bench{options: o, began: time.Now(), self: self}
	var r *results
	outcome := runner.Run(ctx, "bench", func(tb testing.TB) {
		if b.redis, err = startRedis(ctx, tb, o.redis); err == nil {
			r, err = b.all(ctx, stderr)
		}
	})
	switch {
	case err != nil:
		return err
	case outcome.Skipped != "":
		return errors.New(outcome.Skipped)
	case outcome.Failed:
		return errors.New(strings.Join(outcome.Failures, "\n"))
	}
	if o.json != "" {
		text, err := json.MarshalIndent(r, "", "  ")
		if err != nil {
			return err
		}
		if err := os.WriteFile(o.json, append(text, '\n'), 0o600); err != nil {
			return err
		}
	}
	return r.print(stdout)
}

// all measures everything.
func (b *bench) all(ctx context.Context, progress io.Writer) (*results, error) {
	defer b.stopAll()
	if err := b.startAll(ctx); err != nil {
		return nil, err
	}
	r, err := b.describe(ctx)
	if err != nil {
		return nil, err
	}
	for _, c := range b.options.plan.cells() {
		t := &tally{cell: c}
		for _, s := range b.subjects {
			t.Subjects = append(t.Subjects, &score{Name: s.name})
		}
		r.Cells = append(r.Cells, t)
	}
	fmt.Fprint(progress, "making conversations to read\n")
	for _, s := range b.subjects {
		if err := s.makeReads(ctx, b.options.plan.Reads); err != nil {
			return nil, fmt.Errorf("%s: %w", s.name, err)
		}
	}
	if err := b.idle(ctx, &r.Quiet); err != nil {
		return nil, err
	}
	for round := range b.options.plan.Rounds {
		fmt.Fprintf(progress, "round %d of %d; before it, others took %.0f %% of the processors\n", round+1, b.options.plan.Rounds, 100*r.Quiet.Others[len(r.Quiet.Others)-1])
		if err := b.round(ctx, r, round); err != nil {
			return nil, err
		}
	}
	if !b.options.plan.JudgedOnly {
		fmt.Fprint(progress, "many streams at once\n")
		held, err := b.measureMany(ctx, b.subjects[1])
		if err != nil {
			return nil, err
		}
		r.Many = &held
	}
	for _, t := range r.Cells {
		t.sum()
	}
	r.judge()
	return r, nil
}

// round measures every cell once. The subjects take turns, and another begins in each
// round, so that whatever the machine does meets them all.
func (b *bench) round(ctx context.Context, r *results, round int) error {
	r.Quiet.count()
	var whole usage
	for _, t := range r.Cells {
		for i := range b.subjects {
			at := (i + round) % len(b.subjects)
			got, err := b.measure(ctx, b.subjects[at], t.cell)
			if err != nil {
				return err
			}
			t.Subjects[at].Samples = append(t.Subjects[at].Samples, got)
			whole = whole.plus(got.machine)
		}
	}
	r.Quiet.Others = append(r.Quiet.Others, whole.others())
	return nil
}

// makeReads makes the conversations that are read later: the greeting, and then two
// messages for each turn.
func (s *subject) makeReads(ctx context.Context, lengths []int) error {
	c, err := dial(ctx, s.address)
	if err != nil {
		return err
	}
	defer c.close()
	s.reads = map[int]string{}
	for _, n := range lengths {
		id, err := c.startConversation()
		if err != nil {
			return err
		}
		say := c.request(http.MethodPost, "/api/chat/send", plainJSON, fmt.Sprintf(`{"conversationId":%q,"text":"hello there"}`, id))
		for range n / 2 {
			if err := c.call(say, someMessage); err != nil {
				return err
			}
		}
		s.reads[n] = id
	}
	return nil
}

// describe notes what is measured and on what.
func (b *bench) describe(ctx context.Context) (*results, error) {
	info, err := b.redis.client.Info(ctx, "server").Result()
	if err != nil {
		return nil, err
	}
	r := &results{
		Date: time.Now().UTC().Format(time.DateOnly), Processors: runtime.NumCPU(), Processor: lineOf("/proc/cpuinfo", "model name"), Go: runtime.Version(),
		Plan: b.options.plan,
	}
	for lines := bufio.NewScanner(strings.NewReader(info)); lines.Scan(); {
		if version, ok := strings.CutPrefix(lines.Text(), "redis_version:"); ok {
			r.Redis = version + ", " + b.redis.way
		}
	}
	return r, nil
}

// lineOf is the value of the first line of a file that begins with a name; "unknown"
// where there is none.
func lineOf(path, name string) string {
	text, err := os.ReadFile(path)
	if err != nil {
		return "unknown"
	}
	for line := range bytes.Lines(text) {
		if key, value, ok := bytes.Cut(line, []byte(":")); ok && string(bytes.TrimSpace(key)) == name {
			return string(bytes.TrimSpace(value))
		}
	}
	return "unknown"
}
