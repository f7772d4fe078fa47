package redis

import (
	"context"
	"errors"
	"slices"
	"time"

	goredis "github.com/redis/go-redis/v9"
)

const (
	// maxRedirects of one command are followed one after the other.
	maxRedirects = 4
	// redirectPause is before a command is sent where it was turned away before: the
	// nodes do not agree yet, or its slot is being moved.
	redirectPause = 20 * time.Millisecond
)

// redirects is the hook of a cluster's nodes that has a command go where its keys are.
//
// It does so for each command by itself. While a slot is being moved, of two commands
// of a pipeline one may be answered and the other redirected. If both were sent to the
// other node, the one that had been answered would not find there what it had found.
//
// A command that was redirected has not run, so this sends nothing twice.
type redirects struct {
	cluster *cluster
	node    *node
}

var _ goredis.Hook = (*redirects)(nil)

// redirected marks the context of what is sent on behalf of another node's hook, which
// follows the redirects of that as well.
type redirected struct{}

// DialHook implements goredis.Hook.
func (r *redirects) DialHook(next goredis.DialHook) goredis.DialHook { return next }

// ProcessHook implements goredis.Hook.
func (r *redirects) ProcessHook(next goredis.ProcessHook) goredis.ProcessHook {
	return func(ctx context.Context, cmd goredis.Cmder) error {
		err := next(ctx, cmd)
		if !turnedAway(err) || ctx.Value(redirected{}) != nil {
			return err
		}
		cmd.SetErr(err)
		r.follow(ctx, []goredis.Cmder{cmd}, func(ctx context.Context, cmds []goredis.Cmder) {
			cmds[0].SetErr(next(ctx, cmds[0]))
		})
		return cmd.Err()
	}
}

// ProcessPipelineHook implements goredis.Hook.
func (r *redirects) ProcessPipelineHook(next goredis.ProcessPipelineHook) goredis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []goredis.Cmder) error {
		err := next(ctx, cmds)
		if err == nil || ctx.Value(redirected{}) != nil || !slices.ContainsFunc(cmds, func(c goredis.Cmder) bool { return turnedAway(c.Err()) }) {
			return err
		}
		r.follow(ctx, cmds, func(ctx context.Context, cmds []goredis.Cmder) { _ = next(ctx, cmds) })
		for _, cmd := range cmds {
			if err := cmd.Err(); err != nil {
				return err // the first, as the library has it
			}
		}
		return nil
	}
}

// turnedAway reports whether a command was sent where it cannot run, or not yet.
func turnedAway(err error) bool {
	if err == nil {
		return false
	}
	_, moved := goredis.IsMovedError(err)
	_, ask := goredis.IsAskError(err)
	return moved || ask || goredis.IsTryAgainError(err)
}

// errAstray says that a command was sent from node to node, and none of them took it.
var errAstray = errors.New("redis: no node takes the command")

// follow has each command that was turned away go where it was told to. again sends
// commands to the hook's own node.
func (r *redirects) follow(ctx context.Context, cmds []goredis.Cmder, again func(context.Context, []goredis.Cmder)) {
	r.cluster.doubt()
	until := time.Now().Add(r.cluster.timeout * 3 / 4)
	if end, ok := ctx.Deadline(); ok {
		until = time.Now().Add(time.Until(end) * 3 / 4)
	}
	for {
		rest, passing := r.travel(ctx, units(cmds, hostOf(r.node.addr)))
		if len(rest) == 0 {
			return
		}
		if !passing || time.Now().Add(redirectPause).After(until) || !pause(ctx) {
			for _, u := range rest {
				if !goredis.IsTryAgainError(u.err()) {
					u.fail(errAstray)
				}
			}
			return
		}
		again(ctx, commands(rest))
		cmds = commands(rest)
	}
}

// pause waits for redirectPause. It reports whether the context lasted.
func pause(ctx context.Context) bool {
	t := time.NewTimer(redirectPause)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
