package redis

import (
	"context"

	goredis "github.com/redis/go-redis/v9"

	"parley/store"
	"parley/store/internal/wire"
)

// head is what a list reads of a conversation to judge it: its fields, and how
// many messages and idempotency records are kept beside them.
type head struct {
	fields            *goredis.MapStringStringCmd
	messages, records *goredis.IntCmd
}

// ask asks for it, within a pipeline.
func (h *head) ask(ctx context.Context, p goredis.Pipeliner, keys []string) {
	h.fields = p.HGetAll(ctx, keys[keyConversation])
	h.messages, h.records = p.LLen(ctx, keys[keyMessages]), p.HLen(ctx, keys[keyRecords])
}

// answer says whether the conversation is gone, or is there and cannot be read.
func (h *head) answer(o store.Owner) (gone, damaged bool, err error) {
	for _, cmd := range []goredis.Cmder{h.fields, h.messages, h.records} {
		switch err := cmd.Err(); {
		case isWrongType(err):
			damaged = true
		case err != nil:
			return false, false, err
		}
	}
	if damaged {
		return false, true, nil
	}
	f := h.fields.Val()
	if len(f) == 0 {
		return true, false, nil
	}
	return false, wire.Judge(o, f, int(h.messages.Val()), int(h.records.Val())) != nil, nil
}
