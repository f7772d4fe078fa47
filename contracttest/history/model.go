package history

import (
	"slices"
	"strings"

	"github.com/anishathalye/porcupine"

	"parley/store"
)

// op is an operation of the store.
type op string

const (
	opBegin    op = "begin"
	opComplete op = "complete"
	opFail     op = "fail"
	opGet      op = "get"
	opPublish  op = "publish"
	opRenew    op = "renew"
	opFollow   op = "follow"
	opStop     op = "stop"
)

// input is one call. Holder names the begin that a turn came from. The calls that end
// the turn have the same holder.
type input struct {
	op                op
	holder, key, text string
	snapshot          bool // of a publish
	most              int  // turns that a begin may come to; 0 for any number
}

// kind is the kind of result of a call.
type kind string

const (
	done       kind = "done"
	refused    kind = "refused" // busy or stale
	replayed   kind = "replayed"
	full       kind = "full"
	unknown    kind = "unknown"    // the request or the reply was lost
	unexpected kind = "unexpected" // an error that no order of the calls explains
)

type output struct {
	kind    kind
	turn    int
	pending int
	adopted bool
	texts   string
	same    bool // of a begin that was refused: its own turn runs
	kept    bool // of a publish
	signals store.Signals
	state   store.TurnState // of a follow
	running bool            // of a stop
}

// phase is the state of the last turn of a conversation.
type phase string

const (
	idle      phase = "idle"
	running   phase = "running"
	completed phase = "completed"
	failed    phase = "failed"
)

const maxKeys = 2

// state is the model of a conversation after the rules of store.Store, without the
// clock: a lease may expire at any time, or never. It is comparable.
type state struct {
	turn      int
	phase     phase
	holder    string // of the last begin
	text      string // the input of the last turn
	key       string // that the last turn was begun with
	texts     string // of all messages
	completed string // holder of the last completed turn
	unheard   string // answer of the last turn, if it came without a key and so late that nobody may have heard it
	keys      [maxKeys]record
	relayed   string // entries that the last turn has published
	followed  bool   // the running turn is, or an earlier one was until it failed or lapsed
	stopped   bool   // somebody asked for the end of the last turn
}

// record is what is stored of an idempotency key.
type record struct {
	key    string
	turn   int
	answer string
	done   bool
}

func (s state) record(key string) record {
	for _, r := range s.keys {
		if r.key == key && key != "" {
			return r
		}
	}
	return record{}
}

func (s state) remember(r record) state {
	for i := range s.keys {
		if s.keys[i].key == r.key || s.keys[i].key == "" {
			s.keys[i] = r
			return s
		}
	}
	return s
}

func modelOf(lapses bool) porcupine.Model {
	m := porcupine.NondeterministicModel{
		Init: func() []any { return []any{state{phase: idle, texts: greeting}} },
		Step: func(from, in, out any) []any {
			s, _ := from.(state)
			i, _ := in.(input)
			o, _ := out.(output)
			return s.step(i, o, lapses)
		},
		Equal: func(a, b any) bool { return a == b },
	}
	return m.ToModel()
}

// step returns the states that a call with this result may lead to, none if the result
// is impossible.
func (s state) step(in input, out output, lapses bool) []any {
	var after []any
	if out.kind == unknown {
		after = []any{s} // it may never have taken effect
	}
	for _, lapsed := range []bool{false, true} {
		if lapsed && !lapses {
			break
		}
		next, want := s.apply(in, lapsed)
		if (out.kind == unknown || out == want) && !slices.Contains(after, any(next)) {
			after = append(after, next)
		}
	}
	return after
}

// apply returns the state and the result of a call. Lapsed says that the lease of a
// running turn has expired, that nobody has followed it for as long, and that the time
// is over in which a repeat gets an answer that nobody heard.
func (s state) apply(in input, lapsed bool) (state, output) {
	switch in.op {
	case opBegin:
		return s.begin(in, lapsed)
	case opComplete:
		switch {
		case s.completed == in.holder:
			return s, output{kind: done}
		case s.holder != in.holder || s.phase != running:
			return s, output{kind: refused}
		}
		s.phase, s.completed = completed, in.holder
		s.texts += "|" + in.text
		s.followed = false
		switch {
		case s.key != "":
			r := s.record(s.key)
			r.done, r.answer = true, in.text
			s = s.remember(r)
		case lapsed:
			s.unheard = in.text
		}
		return s, output{kind: done}
	case opFail:
		switch {
		case s.holder != in.holder || s.phase == completed:
			return s, output{kind: refused}
		}
		s.phase = failed
		return s, output{kind: done}
	case opPublish:
		return s.publish(in, lapsed)
	case opRenew:
		if s.holder != in.holder || s.phase != running {
			return s, output{kind: refused}
		}
		return s, output{kind: done, signals: s.signals(lapsed)}
	case opFollow:
		return s.follow()
	case opStop:
		return s.stop(lapsed)
	default:
		o := output{kind: done, turn: s.turn, texts: s.texts}
		if s.phase == running {
			o.pending = s.turn
		}
		return s, o
	}
}

func (s state) begin(in input, lapsed bool) (state, output) {
	rec := s.record(in.key)
	if rec.done {
		return s, output{kind: replayed, turn: rec.turn, texts: rec.answer}
	}
	if in.key == "" && s.unheard != "" && s.text == in.text && !lapsed { // else the time for it is over
		return s, output{kind: replayed, turn: s.turn, texts: s.unheard}
	}
	mine := in.key != "" && rec.key != "" && rec.turn == s.turn || in.key == "" && s.text == in.text
	if s.phase == running && !lapsed {
		return s, output{kind: refused, turn: s.turn, same: mine && (in.key != "" || s.key == "")}
	}
	adopted := mine && (s.phase == running || s.phase == failed)
	if !adopted && in.most > 0 && s.turn >= in.most {
		return s, output{kind: full}
	}
	if !adopted {
		s.turn++
		s.texts = strings.Join([]string{s.texts, in.text}, "|")
		s.key = ""
	}
	s.phase, s.holder, s.text = running, in.holder, in.text
	s.relayed, s.stopped, s.unheard = "", false, ""
	if in.key != "" {
		s.key = in.key
		s = s.remember(record{key: in.key, turn: s.turn})
	}
	return s, output{kind: done, turn: s.turn, adopted: adopted}
}
