package redis

import (
	"context"
	"errors"
	"math/rand/v2"
	"net"
	"strconv"
	"time"

	goredis "github.com/redis/go-redis/v9"
)

const (
	// pollEvery is between two questions to one sentinel. What it would miss, it is
	// told of by an event.
	pollEvery = time.Second
	// listenAgain is after how long without a word a subscription is made anew: the
	// sentinel may have lost it.
	listenAgain = time.Minute
)

// The events of a sentinel that a primary moves, or is about to
// (redis.io/docs/latest/operate/oss_and_stack/management/sentinel, "Pub/Sub messages").
const (
	switchMaster  = "+switch-master"
	promotedSlave = "+promoted-slave"
)

// sentinel is one sentinel, asked on a connection of its own.
type sentinel struct {
	addr   string
	create func(addr string) *goredis.Client
	wanted chan struct{} // has a place for one wish to be asked now
}

// poll asks until life ends, and has each answer be heard.
func (s *sentinel) poll(life context.Context, master string, hear func(report, error)) {
	var rdb *goredis.Client
	defer func() {
		if rdb != nil {
			_ = rdb.Close()
		}
	}()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for asked := (time.Time{}); ; {
		select {
		case <-timer.C:
		case <-s.wanted:
			// Whoever wishes so does not know that others did.
			if rest := lookPause - time.Since(asked); rest > 0 {
				timer.Reset(rest)
				continue
			}
		case <-life.Done():
			return
		}
		asked = time.Now()
		if rdb == nil {
			rdb = s.create(s.addr)
		}
		r, answered, err := askSentinel(life, rdb, master)
		if life.Err() != nil {
			return
		}
		if !answered { // the next question goes over another connection
			_ = rdb.Close()
			rdb = nil
		}
		hear(r, err)
		timer.Reset(pollEvery - pollEvery/10 + rand.N(pollEvery/5)) //nolint:gosec // spreads the questions, nothing more
	}
}

// askSentinel asks a sentinel where the primary is, and which failover was the last it
// has seen. An answer may be a refusal.
func askSentinel(life context.Context, rdb *goredis.Client, master string) (r report, answered bool, err error) {
	ctx, cancel := context.WithTimeout(life, askTimeout)
	defer cancel()
	// The library heeds a deadline, not the end of a context: see ping.
	keep := context.AfterFunc(ctx, func() { _ = rdb.Close() })
	// The address comes first with this command: while replicas are still being led to
	// the promoted one, the state has the former primary.
	where := goredis.NewStringSliceCmd(ctx, "sentinel", "get-master-addr-by-name", master)
	state := goredis.NewMapStringStringCmd(ctx, "sentinel", "master", master)
	err = catchPanic(func() error {
		p := rdb.Pipeline()
		_, _ = p.Process(ctx, where), p.Process(ctx, state)
		_, err := p.Exec(ctx)
		return err
	})
	var refusal goredis.Error
	answered = keep() && (err == nil || errors.As(err, &refusal))
	failed := where.Err()
	if failed == nil && len(where.Val()) == 0 { // neither was sent
		failed = err
	}
	switch {
	case !answered && ctx.Err() != nil:
		return r, false, ctx.Err()
	case !answered:
		return r, false, err
	case errors.Is(failed, goredis.Nil):
		return r, true, errUnknownMaster
	case failed != nil:
		return r, true, unknownCommand(failed, errNoSentinel)
	}
	r.at = time.Now()
	if r.addr, err = addressOf(where.Val()); err != nil {
		return report{}, true, err
	}
	r.epoch, _ = strconv.ParseUint(state.Val()["config-epoch"], 10, 64) // 0 if it may not be seen
	return r, true, nil
}

// addressOf is an address that a sentinel tells.
func addressOf(told []string) (string, error) {
	if len(told) != 2 || told[0] == "" {
		return "", errShape
	}
	if port, err := strconv.ParseUint(told[1], 10, 16); err != nil || port == 0 {
		return "", errShape
	}
	return net.JoinHostPort(told[0], told[1]), nil
}

// listen calls look at each event until life ends.
func (s *sentinel) listen(life context.Context, look func()) {
	pause := time.NewTicker(pollEvery)
	defer pause.Stop()
	for life.Err() == nil {
		s.subscribe(life, look)
		select {
		case <-pause.C:
		case <-life.Done():
		}
	}
}

// subscribe listens for as long as a connection holds.
func (s *sentinel) subscribe(life context.Context, look func()) {
	rdb := s.create(s.addr)
	defer func() { _ = rdb.Close() }()
	events := rdb.Subscribe(life, switchMaster, promotedSlave)
	// A blocked read does not see that life ends.
	stop := context.AfterFunc(life, func() { _ = events.Close() })
	defer func() {
		if stop() {
			_ = events.Close()
		}
	}()
	for {
		var event any
		err := catchPanic(func() (err error) {
			event, err = events.ReceiveTimeout(life, listenAgain)
			return err
		})
		if err != nil {
			return
		}
		if _, ok := event.(*goredis.Message); ok {
			look()
		}
	}
}
