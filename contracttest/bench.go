package contracttest

import (
	"testing"

	"github.com/google/uuid"

	"parley/store"
)

// BenchTurn measures a turn, begin and complete, in a conversation that has
// that many messages already. It keeps to about that many: a conversation that
// has grown by a tenth is left for a new one.
func BenchTurn(b *testing.B, s store.Store, history int) {
	b.Helper()
	e := &env{TB: b, Place: &Place{Store: s}, owner: NewOwner()}
	fresh := func() string {
		begin := e.starting()
		e.complete(e.begin(begin), store.Completion{Outcome: store.Outcome{Messages: answered(make([]string, history)...)}})
		return begin.Conversation
	}
	id, said := fresh(), 0
	b.ReportAllocs()
	for b.Loop() {
		if said += 2; said > max(10, history/10) {
			b.StopTimer()
			id, said = fresh(), 0
			b.StartTimer()
		}
		in := e.input(id, "question")
		in.Fingerprint = uuid.NewString()
		e.complete(e.begin(in), reply("answer"))
	}
}
