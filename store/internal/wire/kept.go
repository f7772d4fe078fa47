package wire

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"

	"parley/store"
)

// Beside the messages, a conversation keeps a Record for each idempotency key, under
// its KeyTag, and step data that was replaced since, for answers that were given
// before: once for all of them, under the name =<turn that set it>-<turn that
// replaced it>. The functions here do for the memory backend what keys.lua and forget.lua do.

// Replace keeps step data that a turn replaces, for the turns with a key before it.
func Replace(f, kept map[string]string, turn int) {
	since, keyed := number(f[FieldData]), -1
	if v, there := f[FieldKeyed]; there {
		keyed = number(v)
	}
	if old, there := f[FieldStepData]; there && keyed >= since && keyed < turn {
		kept[fmt.Sprintf("=%d-%d", since, turn)] = old
	}
}

// StepData is the step data that a turn went by, "" if nobody kept it.
func StepData(f, kept map[string]string, turn int) string {
	if number(f[FieldData]) <= turn {
		return f[FieldStepData]
	}
	for name, data := range kept {
		if since, till, ok := period(name); ok && since <= turn && turn < till {
			return data
		}
	}
	return ""
}

func period(name string) (since, till int, ok bool) {
	n, err := fmt.Sscanf(name, "=%d-%d", &since, &till)
	return since, till, err == nil && n == 2
}

// Forget makes room for one more key.
func Forget(kept map[string]string) {
	if len(kept) < store.MaxKeys {
		return
	}
	type key struct {
		turn int
		name string
	}
	var keys []key
	for name, encoded := range kept {
		if _, _, data := period(name); data {
			continue
		}
		turn := -1
		if r, err := DecodeRecord(encoded); err == nil {
			turn = r.Turn
		}
		keys = append(keys, key{turn, name})
	}
	slices.SortFunc(keys, func(a, b key) int { return cmp.Compare(b.turn, a.turn) })
	const left = store.KeptKeys - 1
	for _, k := range keys[min(left, len(keys)):] {
		delete(kept, k.name)
	}
	for name := range kept {
		if _, till, data := period(name); data && (len(keys) == 0 || till <= keys[min(left, len(keys))-1].turn) {
			delete(kept, name)
		}
	}
}

// Count notes how much is kept.
func Count(f, kept map[string]string) {
	size := 0
	for _, v := range kept {
		size += len(v)
	}
	f[FieldKeys], f[FieldKept] = strconv.Itoa(len(kept)), strconv.Itoa(size)
}

// Size is the bytes of elements, and of what is kept beside them.
func Size(f map[string]string) int { return number(f[FieldBytes]) + number(f[FieldKept]) }
