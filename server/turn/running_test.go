package turn

import (
	"testing"
	"time"

	"parley/store"
)

// A turn is joined while it runs, by the same input with the same key or both
// without one, by a bounded number at a time, and not a moment longer.
func TestJoin(t *testing.T) {
	now := time.Unix(0, 0)
	r := New(Config{Now: func() time.Time { return now }})
	for _, key := range []string{"k", ""} {
		req := Request{Owner: store.Owner{Tenant: "t", User: "u"}, Conversation: "c", Key: key, Fingerprint: "f"}
		remove := r.running.add(req.conversationKey(), &runningTurn{held: &store.Turn{}, key: req.requestKey(), begun: now, feed: &Feed{}})
		for name, change := range map[string]func(*Request){
			"owner":        func(q *Request) { q.Owner.User = "v" },
			"conversation": func(q *Request) { q.Conversation = "d" },
			"key":          func(q *Request) { q.Key += "l" },
			"input":        func(q *Request) { q.Fingerprint = "g" },
		} {
			other := req
			change(&other)
			if r.join(&other) != nil {
				t.Errorf("key %q: joined with another %s", key, name)
			}
		}
		var last *joinedTurn
		for range MaxJoined {
			if last = r.join(&req); last == nil {
				t.Fatalf("key %q: cannot be joined", key)
			}
		}
		if r.join(&req) != nil {
			t.Errorf("key %q: joined once too often", key)
		}
		last.leave()
		now = now.Add(store.JoinTime)
		if joined := r.join(&req) != nil; joined != (key != "") {
			t.Errorf("key %q: joined a minute later: %v", key, joined)
		}
		remove()
		if r.join(&req) != nil || len(r.running.turns) != 0 {
			t.Errorf("key %q: joined after its end", key)
		}
	}
}
