//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"parley/contracttest/redistest"
)

// redisServer is the Redis that all subjects use, each a database of its own.
type redisServer struct {
	client *goredis.Client
	addr   string
	way    string // how it is reached
}

// startRedis starts one that ends with tb. One in a container is reached at the
// container's own address where that is possible: a published port is copied by a
// process of Docker's, which takes as long as Redis does and would hide what differs.
func startRedis(ctx context.Context, tb testing.TB, program string) (*redisServer, error) {
	tb.Helper()
	r := &redisServer{}
	if program != "" {
		r.addr, r.way = redistest.StartProgram(tb, program).Addr(), "a process of this machine"
	} else {
		server := redistest.Start(tb)
		host, port := server.ContainerAddr(tb)
		r.addr, r.way = net.JoinHostPort(host, port), "a container, past Docker's proxy"
		dialer := net.Dialer{Timeout: time.Second}
		if conn, err := dialer.DialContext(ctx, "tcp", r.addr); err == nil {
			_ = conn.Close()
		} else {
			r.addr, r.way = server.Addr(), "a container, through Docker's proxy, which makes all differences smaller"
		}
	}
	r.client = goredis.NewClient(&goredis.Options{Addr: r.addr, MaxRetries: -1, DisableIdentity: true})
	tb.Cleanup(func() { _ = r.client.Close() })
	return r, r.client.Ping(ctx).Err()
}

// url is a database of the server.
func (r *redisServer) url(database int) string { return fmt.Sprintf("redis://%s/%d", r.addr, database) }

// redisUse is what a Redis has done so far.
type redisUse struct {
	processor time.Duration
	commands  int64 // those that scripts call as well, and without our own questions
	in, out   int64 // bytes
}

func (u redisUse) less(o redisUse) redisUse {
	return redisUse{u.processor - o.processor, u.commands - o.commands, u.in - o.in, u.out - o.out}
}

// use asks Redis what it has done.
func (r *redisServer) use(ctx context.Context) (redisUse, error) {
	text, err := r.client.Info(ctx, "everything").Result()
	if err != nil {
		return redisUse{}, err
	}
	return parseUse(text)
}

func parseUse(info string) (u redisUse, err error) {
	found := 0
	for line := range strings.Lines(info) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ":")
		var bad error
		switch name {
		case "used_cpu_sys", "used_cpu_user":
			var seconds float64
			seconds, bad = strconv.ParseFloat(value, 64)
			u.processor += time.Duration(seconds * float64(time.Second))
			found++
		case "total_net_input_bytes":
			u.in, bad = strconv.ParseInt(value, 10, 64)
			found++
		case "total_net_output_bytes":
			u.out, bad = strconv.ParseInt(value, 10, 64)
			found++
		default:
			if command, ok := strings.CutPrefix(name, "cmdstat_"); ok && command != "info" {
				calls, _, _ := strings.Cut(strings.TrimPrefix(value, "calls="), ",")
				var n int64
				n, bad = strconv.ParseInt(calls, 10, 64)
				u.commands += n
			}
		}
		err = errors.Join(err, bad)
	}
	if found != 4 {
		err = errors.Join(err, errors.New("INFO lacks processor times or bytes"))
	}
	return u, err
}
