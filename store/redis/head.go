package redis

import (
	"parley/store"
	"parley/store/internal/wire"
)

// headCommands is how many commands head has, each with a key, and headArgs how many
// arguments they have together.
const (
	headCommands = 3
	headArgs     = 2 * headCommands
)

// head asks for what a list reads of a conversation to judge it: its fields, and how many
// messages and idempotency records are kept beside them.
func (b *batch) head(keys []string) {
	b.add("hgetall", &keys[0])
	b.add("llen", &keys[1])
	b.add("hlen", &keys[2])
}

// judgeHead reads the replies, and says whether the conversation is gone, or is there and
// cannot be read.
func (b *batch) judgeHead(o store.Owner) (gone, damaged bool, err error) {
	all, failed := b.next()
	messages, lost := b.number()
	records, alsoLost := b.number()
	for _, err := range [...]error{failed, lost, alsoLost} {
		switch {
		case isWrongType(err):
			damaged = true
		case err != nil:
			return false, false, err
		}
	}
	if damaged {
		return false, true, nil
	}
	var fields wire.Set
	n, err := all.list()
	if err != nil {
		return false, false, err
	}
	for range n / 2 {
		name, value, err := all.pair()
		if err != nil {
			return false, false, err
		}
		fields.Put(string(name), value)
	}
	return n == 0, n > 0 && fields.Judge(o, messages, records) != nil, nil
}
