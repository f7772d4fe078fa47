//go:build linux

package main

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
	"time"

	"parley/contracttest/ports"
)

// subject is a service that is measured.
type subject struct {
	*process
	about string         // what the table says of it
	admin string         // address of its port for profiles
	reads map[int]string // conversations to read, by their number of messages
}

// bench is everything that runs.
type bench struct {
	options  options
	began    time.Time
	self     string // this program, which is the sink as well
	redis    *redisServer
	agent    *process
	sink     *process
	subjects []*subject // the first is the bare service
	parts    []*process // all of the above
	admins   []*ports.Port
}

// bareName is the subject that the others are compared with.
const bareName = "bare"

// spare is how many more connections a service may have than there are streams.
const spare = 500

// holdable is how many streams can be held on this machine, where files are bounded: of
// those that a Parley may open, half are for the agent and Redis.
func holdable(wanted int) (int, error) {
	var files syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &files); err != nil {
		return 0, err
	}
	return min(wanted, int(files.Cur/2)-spare), nil
}

// startAll starts the processes, which stopAll ends.
func (b *bench) startAll(ctx context.Context) error {
	var err error
	if b.sink, err = b.start(ctx, "sink", b.self, nil, sinkWord); err != nil {
		return err
	}
	if b.agent, err = b.start(ctx, "agent", b.program("copilot-emulator"), nil, "-listen", "127.0.0.1:0"); err != nil {
		return err
	}
	admin, err := b.claim(ctx)
	if err != nil {
		return err
	}
	bare, err := b.start(ctx, bareName, b.program("bare"), nil, "-redis", b.redis.url(0), "-agent", b.agent.address, "-admin", admin.Addr)
	if err != nil {
		return err
	}
	b.subjects = append(b.subjects, &subject{process: bare, admin: admin.Addr, about: "net/http and go-redis, no more"})
	exported := []string{"OTEL_EXPORTER_OTLP_ENDPOINT=" + b.sink.address, "OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf"}
	for i, s := range []struct {
		name, about string
		env         []string
	}{
		{"off", "Parley, which exports nothing", nil},
		{"exporting", "Parley, which exports all traces, metrics and log lines", slices.Concat(exported, []string{"OTEL_TRACES_SAMPLER=always_on"})},
		{"sampled", "the same with 1 % of the traces, and those of failures", slices.Concat(exported, []string{"OTEL_TRACES_SAMPLER=traceidratio", "OTEL_TRACES_SAMPLER_ARG=0.01"})},
	} {
		if err := b.parley(ctx, i+1, s.name, s.about, s.env); err != nil {
			return err
		}
	}
	return nil
}

// parley starts a Parley on a database of its own.
func (b *bench) parley(ctx context.Context, database int, name, about string, env []string) error {
	admin, err := b.claim(ctx)
	if err != nil {
		return err
	}
	p, err := b.start(ctx, name, b.program("parley"), append([]string{
		"HOST=127.0.0.1", "PORT=0", "ADMIN_PORT=" + admin.Number, "AUTH_REQUIRED=false", "REDIS_URL=" + b.redis.url(database),
		"COPILOT_DIRECT_CONNECT_URL=" + b.agent.address, "COPILOT_STUB_TOKEN=stub",
		// Room for the streams: who follows a turn counts as one.
		"MAX_TURNS=" + strconv.Itoa(b.options.plan.Streams+spare), "MAX_CONNECTIONS=" + strconv.Itoa(b.options.plan.Streams+spare),
		"COPILOT_TIMEOUT=600000", "SHUTDOWN_TIMEOUT=1",
	}, env...))
	if err != nil {
		return err
	}
	b.subjects = append(b.subjects, &subject{process: p, admin: admin.Addr, about: about})
	return nil
}

func (b *bench) program(name string) string { return filepath.Join(b.options.programs, name) }

func (b *bench) start(ctx context.Context, name, path string, env []string, args ...string) (*process, error) {
	p, err := startProcess(ctx, name, path, env, args...)
	if err != nil {
		return nil, fmt.Errorf("%w (make build makes the programs)", err)
	}
	b.parts = append(b.parts, p)
	return p, nil
}

// stopAll ends the processes, the last first: a service ends before what it needs.
func (b *bench) stopAll() {
	for i := len(b.parts) - 1; i >= 0; i-- {
		b.parts[i].end()
	}
	for _, admin := range b.admins {
		admin.Release()
	}
}

// claim gives a port for what operators ask a subject. It is the bench's until stopAll.
func (b *bench) claim(ctx context.Context) (*ports.Port, error) {
	admin, err := ports.Claim(ctx)
	if err == nil {
		b.admins = append(b.admins, admin)
	}
	return admin, err
}
