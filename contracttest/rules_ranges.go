package contracttest

import (
	"fmt"
	"slices"
	"strings"

	"parley/store"
)

// rangeRules are about reading a conversation in parts: S13.
func rangeRules() []Rule {
	return []Rule{
		{ID: "S13.pages", Sentence: "parts that are read one before the other make up the conversation, each of whole turns, and no larger than asked for unless it is one turn", check: readBackwards},
		{ID: "S13.bytes", Sentence: "a part has no more bytes than it may, unless it is one turn", check: readBytes},
		{ID: "S13.from", Sentence: "reading from a turn on returns its messages and the later ones, oldest first, until the part is full", check: readFrom},
		{ID: "S13.failures", Sentence: "a part tells which of its turns failed, and whether the one before its first did", check: readFailures},
	}
}

// long makes a conversation of turns with that many messages each, in texts of that
// size, and gives all of them.
func (e *env) long(size int, answers ...int) (id string, all []string) {
	e.Helper()
	id, all = e.start(), []string{"hello"}
	for i, n := range answers {
		text := func(what string) string { return fmt.Sprint(what, i+1, strings.Repeat("x", size)) }
		t := e.begin(e.input(id, text("q")))
		many := make([]string, n)
		for j := range many {
			many[j] = text(fmt.Sprint("a", j, "."))
		}
		e.complete(t, store.Completion{Outcome: store.Outcome{Messages: answered(many...)}})
		all = append(append(all, text("q")), many...)
	}
	return id, all
}

// backwards reads a conversation from its end, in parts.
func (e *env) backwards(id string, limit int, each func(c store.Conversation)) (all []string) {
	e.Helper()
	for r := (store.Range{Limit: limit}); ; {
		c := e.read(id, r)
		if len(c.Messages) == 0 {
			e.broken("%+v has no messages", r)
		}
		each(c)
		if c.Later != (r.Before > 0) {
			e.broken("%+v: later is %v", r, c.Later)
		}
		all = append(texts(c.Messages), all...)
		if !c.Earlier {
			return all
		}
		if r.Before = c.Messages[0].Turn; len(all) > 10_000 {
			e.broken("the parts do not end")
		}
	}
}

// turnsIn counts the turns that messages are of.
func turnsIn(messages []store.Message) int {
	turns := map[int]bool{}
	for _, m := range messages {
		turns[m.Turn] = true
	}
	return len(turns)
}

// readBackwards uses more turns, and more messages of one, than any implementation
// is likely to read at once.
func readBackwards(e *env) {
	answers := slices.Repeat([]int{1}, 30)
	answers[12], answers[20], answers[21] = 0, 250, 3
	id, want := e.long(0, answers...)
	for _, limit := range []int{0, 1, 2, 3, 7, 1000} {
		most := limit
		if limit == 0 || limit > store.MaxMessages {
			most = store.MaxMessages
		}
		got := e.backwards(id, limit, func(c store.Conversation) {
			if len(c.Messages) > most && turnsIn(c.Messages) > 1 {
				e.broken("%d messages of %d turns with a limit of %d", len(c.Messages), turnsIn(c.Messages), limit)
			}
		})
		e.same(fmt.Sprint("all with a limit of ", limit), got, want)
	}
	c := e.read(id, store.Range{Before: 1})
	e.same("before the first turn", texts(c.Messages), []string{"hello"})
	e.same("what is around it", []bool{c.Earlier, c.Later}, []bool{false, true})
	e.same("before a turn that is not there yet", texts(e.read(id, store.Range{Before: 99, Limit: 2}).Messages), want[len(want)-2:])
}

func readBytes(e *env) {
	id, want := e.long(store.MaxRangeBytes/8, 1, 1, 12, 1, 1, 1)
	got := e.backwards(id, 0, func(c store.Conversation) {
		size := 0
		for _, m := range c.Messages {
			size += len(m.Text)
		}
		if size > store.MaxRangeBytes && turnsIn(c.Messages) > 1 {
			e.broken("%d bytes of %d turns", size, turnsIn(c.Messages))
		}
	})
	e.same("number of messages", len(got), len(want))
	e.same("order", got, want)
}

func readFrom(e *env) {
	id, all := e.long(0, 1, 70, 0, 1, 1, 1, 1, 1, 1, 3, 1)
	const turns = 11
	first := func(turn int) int {
		return slices.IndexFunc(all, func(s string) bool { return strings.HasPrefix(s, fmt.Sprint("q", turn)) })
	}
	for from := 1; from <= turns; from++ {
		c := e.read(id, store.Range{From: from, Before: 2})
		e.same(fmt.Sprint("from ", from), texts(c.Messages), all[first(from):])
		e.same("what is around it", []bool{c.Earlier, c.Later}, []bool{true, false})
	}
	c := e.read(id, store.Range{From: 1, Limit: 4})
	e.same("from 1, at most 4", texts(c.Messages), all[first(1):first(2)])
	e.same("what is around it", []bool{c.Earlier, c.Later}, []bool{true, true})
	e.same("from 2, at most 4", texts(e.read(id, store.Range{From: 2, Limit: 4}).Messages), all[first(2):first(3)])
	e.same("from 4, at most 4", texts(e.read(id, store.Range{From: 4, Limit: 4}).Messages), all[first(4):first(6)])
	for _, from := range []int{turns + 1, turns + 2, 1 << 30} {
		c := e.read(id, store.Range{From: from})
		e.same("from a turn that is not there yet", len(c.Messages), 0)
		e.same("what is around it", []bool{c.Earlier, c.Later}, []bool{true, false})
	}
}

func readFailures(e *env) {
	id := e.start()
	for n := 1; n <= 10; n++ {
		t := e.begin(e.input(id, fmt.Sprint("q", n)))
		if n%3 == 1 {
			e.fail(t, fmt.Sprint("class", n))
			continue
		}
		e.complete(t, reply("answer"))
	}
	for _, c := range []struct {
		r    store.Range
		want []int
	}{
		{store.Range{}, []int{1, 4, 7, 10}},
		{store.Range{Limit: 1}, []int{10}},
		{store.Range{Before: 5, Limit: 3}, []int{4}},
		{store.Range{Before: 4, Limit: 3}, nil},
		{store.Range{From: 8, Limit: 2}, []int{7}},
		{store.Range{From: 9, Limit: 2}, nil},
		{store.Range{From: 11}, []int{10}},
		{store.Range{From: 12}, nil},
	} {
		var got []int
		for _, f := range e.read(id, c.r).Failures {
			got = append(got, f.Turn)
			e.same("class", f.Class, fmt.Sprint("class", f.Turn))
		}
		e.same(fmt.Sprintf("failures of %+v", c.r), got, c.want)
	}
}
