package redis

import (
	"context"
	"errors"
)

// DefaultMaxWriteBytes is the largest write that is sent. It is well below what
// Redis accepts by default: 512 MB for one argument (proto-max-bulk-len) and 1 GB
// for one command (client-query-buffer-limit).
const DefaultMaxWriteBytes = 64 << 20

// largeWrite is the size from which a write may be larger than Redis accepts:
// neither of its limits can be set to less.
const largeWrite = 1 << 20

// Why a write will never be taken.
var (
	errTooLarge = errors.New("redis: write is larger than MaxWriteBytes")
	errRefused  = errors.New("redis: the connection is closed whenever this write is sent")
)

// largeWriteLost says that the connection broke under a large write. Redis does
// not answer a command that is larger than it accepts, or the answer is lost with
// the connection that it closes.
type largeWriteLost struct{ error }

func (e *largeWriteLost) Unwrap() error { return e.error }

// commandSize is about how many bytes a command has.
func commandSize(args []any) int {
	size := 0
	for _, a := range args {
		size += 16 // for its length, or as a number
		switch s := a.(type) {
		case string:
			size += len(s)
		case *string:
			size += len(*s)
		}
	}
	return size
}

// judge finds out what broke the connection under a large write, twice: the way
// to Redis, or the write. If Redis answers a PING and the write breaks the
// connection all the same, it is the write: errRefused.
func judge(budget context.Context, c *client, lost error, call callFunc) error {
	if c.Ping(budget).Err() != nil {
		return lost
	}
	again := catchPanic(func() error { return call(budget, c) })
	if large := (*largeWriteLost)(nil); errors.As(again, &large) && c.Ping(budget).Err() == nil {
		return errRefused
	}
	return again
}
