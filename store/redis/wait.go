package redis

import (
	"context"
	"errors"
	"time"

	goredis "github.com/redis/go-redis/v9"
)

// errFewReplicas says that a write has run and that too few replicas have it. It is
// the error of a time that ran out: nobody knows whether they will have it, and the
// same write made once more finds itself done and waits again.
var errFewReplicas = errors.New("redis: too few replicas have the write")

// sendAndWait sends a write and, on the same connection, a WAIT for so many replicas.
// Redis waits for everything that was written up to then, so that also a write which
// was made before, and finds itself done, waits for what it wrote. few says that
// fewer had it within three quarters of the time that is left.
func sendAndWait(ctx context.Context, c *client, write goredis.Cmder, replicas int) (few bool, err error) {
	limit := c.Options().ReadTimeout
	if end, ok := ctx.Deadline(); ok {
		limit = time.Until(end)
	}
	wait := goredis.NewIntCmd(ctx, "wait", replicas, max(1, (limit*3/4).Milliseconds())) // 0 would be for ever
	p := c.Pipeline()
	_ = p.BatchProcess(ctx, write, wait)
	if _, err := p.Exec(ctx); err != nil && write.Err() == nil && wait.Err() == nil {
		return false, err
	}
	if err := write.Err(); err != nil {
		return false, err
	}
	return wait.Val() < int64(replicas), wait.Err()
}
