package redis

import (
	"context"
	"errors"
	"fmt"

	"parley/store"
	"parley/store/fair"
)

// largeReads is how many large ranges are read from a primary at once at least; as many as there are
// processors if these are more. Two keep the line busy: one comes while the other is
// asked for. More would only be in each other's way, and in everybody else's, because
// Redis and the line serve all of them at once.
const largeReads = 2

// errNoTurn says that a call's budget ended while it waited to read a large range.
var errNoTurn = errors.New("redis: large reads wait for each other")

// readLarge waits, within a call's budget, for the owner's turn to read so many bytes.
// What is not large waits for nobody.
func (s *state) readLarge(ctx context.Context, o store.Owner, bytes int) (leave func(), err error) {
	if bytes < fair.Large {
		return func() {}, nil
	}
	if leave, err = s.reads.Enter(ctx, o); err != nil {
		return nil, fmt.Errorf("%w: %w", errNoTurn, err)
	}
	return leave, nil
}
