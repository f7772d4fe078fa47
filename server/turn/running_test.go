package turn

import (
	"testing"

	"parley/store"
)

// A turn can be joined while it runs, by its own key and input only, by a bounded
// number at a time, and not a moment longer.
func TestRunningTurnsAreJoined(t *testing.T) {
	r := running{turns: map[conversationKey]*runningTurn{}}
	req := Request{Owner: store.Owner{Tenant: "t", User: "u"}, Conversation: "c", Key: "k", Fingerprint: "f"}
	over := r.add(&req, &store.Turn{}, &Feed{})
	for name, change := range map[string]func(*Request){
		"owner":        func(q *Request) { q.Owner.User = "v" },
		"conversation": func(q *Request) { q.Conversation = "d" },
		"key":          func(q *Request) { q.Key = "l" },
		"input":        func(q *Request) { q.Fingerprint = "g" },
	} {
		other := req
		change(&other)
		if f, _ := r.join(&other); f != nil {
			t.Errorf("joined with another %s", name)
		}
	}
	var leave func()
	for range MaxJoined {
		var f *Feed
		if f, leave = r.join(&req); f == nil {
			t.Fatal("cannot be joined")
		}
	}
	if f, _ := r.join(&req); f != nil {
		t.Error("joined once too often")
	}
	leave()
	if f, _ := r.join(&req); f == nil {
		t.Error("the place of one that left is not free")
	}
	over()
	if f, _ := r.join(&req); f != nil || len(r.turns) != 0 {
		t.Error("joined after its end")
	}
}
