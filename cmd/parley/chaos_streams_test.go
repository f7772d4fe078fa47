package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"

	"parley/contracttest/apispec"
)

// withoutEnd ends the text of a turn that only a stop ends. So what several readers hear
// of it at the same time depends on no duration.
const withoutEnd = "\n/endless 100ms"

// aFew is how many messages a reader hears before it leaves, or before the turn is
// stopped.
const aFew = 2

// listener is one reader of a turn, over all of its connections.
type listener struct {
	last   string   // id of the last event
	fence  string   // of the turn in that id; another one when the turn was taken over
	seen   []string // ids of the messages of that fence
	enough chan struct{}
	once   sync.Once
}

func newListener() *listener { return &listener{enough: make(chan struct{})} }

// satisfied tells that the reader has heard enough, or never will.
func (l *listener) satisfied() { l.once.Do(func() { close(l.enough) }) }

// stream makes one request for a stream and reads it until it ends, or until it has
// brought leave messages; 0 for never. The status is 0 when there was no end.
func (c *crowd) stream(l *listener, method, url, key string, body []byte, leave int) (h heard) {
	ctx, cancel := context.WithTimeout(c.t.Context(), patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader(body))
	if err != nil {
		panic(err)
	}
	req.Header.Set("Accept", "text/event-stream")
	req.Header.Set("Content-Type", "application/json")
	if key != "" {
		req.Header.Set("Idempotency-Key", key)
	}
	if method == http.MethodGet {
		req.Header.Set("Last-Event-ID", l.last)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return heard{}
	}
	defer func() { _ = resp.Body.Close() }()
	if !strings.HasPrefix(resp.Header.Get("Content-Type"), "text/event-stream") {
		_ = json.NewDecoder(resp.Body).Decode(&h) // 204 has none
		h.status = resp.StatusCode
		return h
	}
	heardNow := 0
	for event, err := range apispec.Events(resp.Body) {
		if err != nil {
			return heard{}
		}
		switch event.Type {
		case "message":
			c.hear(l, event.LastEventID, event.Data)
			if heardNow++; heardNow >= aFew {
				l.satisfied()
			}
			if heardNow == leave {
				return heard{}
			}
		case "done", "error":
			if json.Unmarshal([]byte(event.Data), &h) != nil {
				return heard{}
			}
			h.status = http.StatusOK
			if event.Type == "error" {
				n, _ := h.Status.(float64)
				h.status = int(n)
			} else if !slices.Equal(l.seen, h.ids()) {
				c.breaks("conversation %s: a stream brought %q, and its end says %q", h.ID, l.seen, h.ids())
			}
			return h
		}
	}
	return heard{}
}

// hear takes one message.
func (c *crowd) hear(l *listener, id, data string) {
	var msg struct{ ID string }
	if json.Unmarshal([]byte(data), &msg) != nil {
		c.breaks("a stream brought a message that is none")
		return
	}
	if fence, _, _ := strings.Cut(id, "-"); fence != l.fence {
		l.fence, l.seen = fence, nil
	}
	if slices.Contains(l.seen, msg.ID) {
		c.breaks("message %s came twice", msg.ID)
	}
	l.last, l.seen = id, append(l.seen, msg.ID)
}

// send asks by a stream, and hears it to its end.
func (c *crowd) send(l *listener, base, id string, s *saying, leave int) heard {
	body, err := json.Marshal(m{"conversationId": id, "text": s.text})
	if err != nil {
		panic(err)
	}
	return c.stream(l, http.MethodPost, base+"/api/chat/send", s.key, body, leave)
}

// hop asks by a stream, leaves it, and follows the turn at one instance after the
// other, as a browser does whose connections break.
func (c *crowd) hop(r *rand.Rand, l *listener, t *dialogue, s *saying) heard {
	defer l.satisfied()
	bases := c.bases()
	h := c.send(l, bases[r.IntN(len(bases))], t.id, s, aFew)
	if len(l.seen) == 0 {
		return h // whether it began is unknown: it must ask again
	}
	began := time.Now()
	for hops := 0; h.status == 0 && time.Since(began) < patience; hops++ {
		bases, leave := c.bases(), aFew
		if hops == 2 {
			l.satisfied()
		}
		if hops >= 2 {
			leave = 0
		}
		h = c.stream(l, http.MethodGet, bases[hops%len(bases)]+"/api/chat/conversations/"+t.id+"/stream", "", nil, leave)
		if h.status == 0 {
			passes(c.t.Context(), 20*time.Millisecond)
		}
	}
	return h
}

// talkEndless has a user begin a turn that does not end, repeat the request at once at
// the other instance or follow it from there, and then stop it.
func (c *crowd) talkEndless(r *rand.Rand, n int, t *dialogue) bool {
	s := &saying{text: fmt.Sprintf("user %d says %s", n, uuid.NewString()) + withoutEnd, from: time.Now()}
	if r.IntN(2) == 0 {
		s.key = uuid.NewString()
	}
	t.said = append(t.said, s)
	readers := []*listener{newListener()}
	answers := make([]heard, 2)
	var reading sync.WaitGroup
	joins := r.IntN(2) == 0
	if joins {
		readers = append(readers, newListener())
		bases := c.bases()
		for i, l := range readers {
			reading.Go(func() {
				defer l.satisfied()
				answers[i] = c.send(l, bases[i%len(bases)], t.id, s, 0)
			})
		}
	} else {
		reading.Go(func() { answers[0] = c.hop(rand.New(rand.NewPCG(r.Uint64(), 0)), readers[0], t, s) })
	}
	over, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for _, l := range readers {
			<-l.enough
		}
		c.stopUntil(over, t)
	}()
	reading.Wait()
	ok := c.settle(r, t, s, answers[:len(readers)], readers)
	close(over)
	<-stopped
	s.to = time.Now()
	return ok
}

// settle takes what the readers were told for the answer. If nobody was told, it asks
// again.
func (c *crowd) settle(r *rand.Rand, t *dialogue, s *saying, answers []heard, readers []*listener) bool {
	from := s.from
	defer func() { s.from = from }()
	told, refused := 0, false
	for i, h := range answers {
		switch h.status {
		case http.StatusOK:
			c.saw("200")
			if !h.Stopped {
				c.breaks("conversation %s: a turn without end has ended, and was not stopped", t.id)
			}
			if told++; told == 2 && !slices.Equal(s.answer, h.ids()) && !t.late {
				c.breaks("conversation %s: %q and its repeat were answered with %q and %q", t.id, s.text, s.answer, h.ids())
			}
			s.answer = h.ids()
		case http.StatusNoContent: // it has ended between two connections
			c.saw("204")
			s.answer = c.stored(r, t, s, readers[i])
			s.failed = s.failed || s.answer == nil
		case 0:
			c.saw("connection")
			s.failed = true
		default:
			if h.Class != "turn_conflict" && h.status < 500 || h.status == 502 || h.status == 504 || h.status == 500 {
				c.breaks("a stream: %d %s", h.status, h.Class)
			}
			c.saw(h.Class)
			s.failed = true
			refused = h.Class == "turn_conflict"
		}
	}
	s.refused = refused && told > 0 && !t.late
	s.joined = told == len(answers) && !t.late
	if s.answer != nil {
		return true
	}
	s.failed = true
	h, ok := c.until(r, s, "/api/chat/send", m{"conversationId": t.id, "text": s.text}, r.IntN(2) == 0)
	if ok {
		s.answer = h.ids()
	}
	return ok
}

// stored reads the answer to the last thing that was said; nil if there is none.
func (c *crowd) stored(r *rand.Rand, t *dialogue, s *saying, l *listener) (ids []string) {
	for began := time.Now(); time.Since(began) < patience; passes(c.t.Context(), 100*time.Millisecond) {
		bases := c.bases()
		h := c.ask(bases[r.IntN(len(bases))], http.MethodGet, "/api/chat/conversations/"+t.id, "", nil, false)
		if h.status != http.StatusOK {
			continue
		}
		ids = h.answerTo(s.text)
		if len(ids) > 0 && slices.Contains(ids, l.seen[0]) && !slices.Equal(ids[:min(len(ids), len(l.seen))], l.seen) {
			c.breaks("conversation %s: a stream brought %q, and %q is stored", t.id, l.seen, ids)
		}
		return ids
	}
	return nil
}

// answerTo gives the ids of the messages that follow the last question of that text.
func (h heard) answerTo(text string) (ids []string) {
	turn := 0
	for _, msg := range h.Message {
		if msg.Role == "user" && msg.Text == text {
			turn, ids = msg.Turn, nil
		} else if turn > 0 && msg.Turn == turn {
			ids = append(ids, msg.ID)
		}
	}
	return ids
}

// stopUntil stops whatever runs in a conversation, at one instance after the other,
// until it is over.
func (c *crowd) stopUntil(over chan struct{}, t *dialogue) {
	for i := 0; ; i++ {
		bases := c.bases()
		c.stopOnce(bases[i%len(bases)], t)
		select {
		case <-over:
			return
		case <-time.After(300 * time.Millisecond):
		}
	}
}

// stopOnce asks once for the end of the turn that runs.
func (c *crowd) stopOnce(base string, t *dialogue) {
	c.mu.Lock()
	t.stops = true
	c.mu.Unlock()
	h := c.ask(base, http.MethodPost, "/api/chat/conversations/"+t.id+"/stop", "", nil, false)
	switch h.status {
	case http.StatusOK, http.StatusNoContent:
	case 0, http.StatusServiceUnavailable:
		c.mu.Lock()
		t.late = true
		c.mu.Unlock()
	default:
		c.breaks("stop: %d %s", h.status, h.Class)
	}
}

// checkStopped wants of what was stopped just what its readers were told, marked, and
// nothing else to be marked.
func (c *crowd) checkStopped(t *dialogue, h heard) {
	asked := map[string]int{}
	for _, msg := range h.Message {
		if msg.Role == "user" {
			asked[msg.Text]++
		}
		if msg.Stopped && !t.stops {
			c.breaks("conversation %s: message %s was stopped, and nobody asked for it", t.id, msg.ID)
		}
	}
	for _, s := range t.said {
		if s.answer == nil || asked[s.text] != 1 {
			continue
		}
		stored := h.answerTo(s.text)
		if len(stored)+len(s.answer) > 0 && !slices.Equal(stored, s.answer) {
			c.breaks("conversation %s: %q is the answer to %q, and %q is stored", t.id, s.answer, s.text, stored)
		}
		if !strings.HasSuffix(s.text, withoutEnd) {
			continue
		}
		for _, msg := range h.Message {
			if last := len(stored) - 1; last >= 0 && slices.Contains(stored, msg.ID) && msg.Stopped != (msg.ID == stored[last]) {
				c.breaks("conversation %s: message %s of a turn that was stopped: marked %t", t.id, msg.ID, msg.Stopped)
			}
		}
	}
}
