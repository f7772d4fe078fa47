package redis

import (
	"context"
	"errors"
	"slices"
	"strconv"

	goredis "github.com/redis/go-redis/v9"

	"parley/store"
	"parley/store/fair"
	"parley/store/internal/wire"
)

// stride is how many messages are read at once where nobody noted how large they are.
const stride = 16

// errChanged says that there are fewer messages than a moment ago: the conversation
// was deleted, or is damaged.
var errChanged = errors.New("redis: conversation changed while it was read")

// messages finds and reads a range.
type messages struct {
	client             *client
	owner              store.Owner
	conversation, list string // keys
	n, bytes, turns    int    // of the conversation; bytes are 0 if nobody counted
	early, marks       wire.Marks
	failing            bool // a turn may have failed

	first, last int // the range: from that message to before that
	size        int // about its bytes
	elements    []string
	failures    []store.TurnFailure
}

// mark is where a turn begins, or the end of the conversation.
func (m *messages) mark(turn int) (wire.Mark, bool) {
	switch {
	case turn == 0:
		return wire.Mark{}, true
	case turn > m.turns:
		return wire.Mark{At: m.n, Bytes: m.bytes}, m.bytes > 0 || m.n == 0
	}
	mark, ok := m.early.Of(turn)
	if !ok {
		mark, ok = m.marks.Of(turn)
	}
	return mark, ok && mark.At <= m.n
}

// marked reads a range by what was noted, in one round trip. It has found nothing
// when a note is missing, or wrong.
func (m *messages) marked(ctx context.Context, r store.Range) (found bool, err error) {
	from, to, ok := m.span(r)
	if !ok {
		return false, nil
	}
	leave, err := m.client.readLarge(ctx, m.owner, m.size)
	if err != nil {
		return false, err
	}
	defer leave()
	p := m.client.Pipeline()
	elements := p.LRange(ctx, m.list, int64(m.first), int64(m.last-1))
	if m.first == m.last {
		elements = p.LRange(ctx, m.list, 1, 0)
	}
	turns, failures := m.askFailures(ctx, p, r, from, to)
	if _, err := p.Exec(ctx); err != nil {
		return false, err
	}
	m.elements = elements.Val()
	if len(m.elements) < m.last-m.first {
		return false, errChanged
	}
	if len(m.elements) > 0 && (wire.ElementTurn(m.elements[0]) < from || wire.ElementTurn(m.elements[len(m.elements)-1]) > to) {
		return false, nil
	}
	return true, m.failed(r, turns, failures)
}

// span finds the turns from..to that a range has, and their messages.
func (m *messages) span(r store.Range) (from, to int, ok bool) {
	limit := wire.Messages(r)
	fits := func(a, b wire.Mark) bool { return b.At-a.At <= limit && b.Bytes-a.Bytes <= store.MaxRangeBytes }
	if r.From > 0 {
		first, ok := m.mark(r.From)
		if !ok {
			return 0, 0, false
		}
		m.first, m.last, to = first.At, first.At, r.From-1
		for to < m.turns && m.last-m.first < limit {
			end, ok := m.mark(to + 2)
			if !ok || end.At < m.last {
				return 0, 0, false
			}
			if m.last > m.first && !fits(first, end) {
				break
			}
			m.last, to, m.size = end.At, to+1, end.Bytes-first.Bytes
		}
		return r.From, max(to, r.From), true
	}
	to = m.turns
	if r.Before > 0 {
		to = min(to, r.Before-1)
	}
	last, ok := m.mark(to + 1)
	if !ok {
		return 0, 0, false
	}
	m.first, m.last, from = last.At, last.At, to+1
	for from > 0 && m.last-m.first < limit {
		start, ok := m.mark(from - 1)
		if !ok || start.At > m.first {
			return 0, 0, false
		}
		if m.last > m.first && !fits(start, last) {
			break
		}
		m.first, from, m.size = start.At, from-1, last.Bytes-start.Bytes
	}
	return min(from, to), to, true
}

// walked reads a range a few messages at a time, from the place that a search has
// found.
func (m *messages) walked(ctx context.Context, r store.Range) error {
	part := wire.NewPart(wire.Messages(r))
	m.elements = nil
	if r.From > 0 {
		first, err := m.search(ctx, r.From)
		if err != nil {
			return err
		}
		for at, more := first, true; more; at += stride {
			chunk, err := m.chunk(ctx, at, min(at+stride, m.n))
			if err != nil {
				return err
			}
			for _, e := range chunk {
				if more = part.Take(e); !more {
					break
				}
				m.elements = append(m.elements, e)
			}
			if more && at+stride >= m.n {
				part.End()
				more = false
			}
		}
		m.elements = m.elements[:part.Len()]
		m.first, m.last = first, first+part.Len()
	} else {
		last := m.n
		if r.Before > 0 {
			var err error
			if last, err = m.search(ctx, r.Before); err != nil {
				return err
			}
		}
		for at, more := last, true; more; at -= stride {
			chunk, err := m.chunk(ctx, max(0, at-stride), at)
			if err != nil {
				return err
			}
			for _, e := range slices.Backward(chunk) {
				if more = part.Take(e); !more {
					break
				}
				m.elements = append(m.elements, e)
			}
			if more && at <= stride {
				part.End()
				more = false
			}
		}
		m.elements = m.elements[:part.Len()]
		slices.Reverse(m.elements)
		m.first, m.last = last-part.Len(), last
	}
	if len(m.elements) == 0 || !m.failing {
		return nil
	}
	p := m.client.Pipeline()
	turns, failures := m.askFailures(ctx, p, r, wire.ElementTurn(m.elements[0]), wire.ElementTurn(m.elements[len(m.elements)-1]))
	if _, err := p.Exec(ctx); err != nil {
		return err
	}
	return m.failed(r, turns, failures)
}

// chunk reads the messages from first to before last.
func (m *messages) chunk(ctx context.Context, first, last int) ([]string, error) {
	if first >= last {
		return nil, nil
	}
	size := 0
	if last-first > 1 {
		size = fair.Large // for all that anybody knows
	}
	leave, err := m.client.readLarge(ctx, m.owner, size)
	if err != nil {
		return nil, err
	}
	defer leave()
	elements, err := m.client.LRange(ctx, m.list, int64(first), int64(last-1)).Result()
	if err == nil && len(elements) != last-first {
		err = errChanged
	}
	return elements, err
}

// search finds the first message of a turn, or of a later one, in as many round
// trips as the number of messages has binary digits.
func (m *messages) search(ctx context.Context, turn int) (int, error) {
	var err error
	at := wire.FirstOf(m.n, turn, func(i int) int {
		var one []string
		if err == nil {
			one, err = m.chunk(ctx, i, i+1)
		}
		if err != nil {
			return turn
		}
		return wire.ElementTurn(one[0])
	})
	return at, err
}

// turnsOf are the turns whose failures are told with a range: those it has, and the
// one before, which may have failed since it was read.
func turnsOf(r store.Range, from, to int) []int {
	var turns []int
	if r.From > 0 {
		turns = append(turns, r.From-1)
	}
	for t := max(from, 0); t <= to && len(turns) <= store.MaxMessages+1; t++ {
		turns = append(turns, t)
	}
	return turns
}

// askFailures asks which of a range's turns failed, within a pipeline, if any did. It does
// so without the library's own reading of the answer: that takes a number for an array of
// as many elements, and waits for them.
func (m *messages) askFailures(ctx context.Context, p goredis.Pipeliner, r store.Range, from, to int) ([]int, *goredis.Cmd) {
	if !m.failing {
		return nil, nil
	}
	turns := turnsOf(r, from, to)
	args := make([]any, 0, 2+len(turns))
	args = append(args, "hmget", m.conversation)
	for _, t := range turns {
		args = append(args, wire.FieldFailPrefix+strconv.Itoa(t))
	}
	return turns, p.Do(ctx, args...)
}

// failed notes failures of the turns that the range turned out to have.
func (m *messages) failed(r store.Range, turns []int, cmd *goredis.Cmd) error {
	if cmd == nil {
		return nil
	}
	classes, ok := cmd.Val().([]any)
	if !ok || len(classes) != len(turns) {
		return errShape
	}
	for i, c := range classes {
		class, ok := c.(string)
		if ok && wire.Tells(r, m.elements, turns[i]) {
			m.failures = append(m.failures, store.TurnFailure{Turn: turns[i], Class: class})
		}
	}
	return nil
}
