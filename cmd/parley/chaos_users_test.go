package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"parley/contracttest/apispec"
	"parley/server/copilot/emulator"
)

// patience is how long a virtual user repeats one request.
const patience = 25 * time.Second

// crowd is all virtual users and what they were told.
type crowd struct {
	t     *testing.T
	seed  uint64
	bases func() []string // of the replicas that are there
	stop  context.Context // ends the talking, not what was begun

	mu       sync.Mutex
	broken   []string
	classes  map[string]int // how many answers of each there were; 200 among them
	talks    []*dialogue
	joined   int       // turns that were followed or joined, and then stopped
	troubles []trouble // when the agent may have been asked twice
}

// trouble is a time in which a turn may lose its place: a replica died or stood
// still, or Redis was away for about as long as a lease.
type trouble struct{ from, to time.Time }

// dialogue is what one user said in one conversation.
type dialogue struct {
	id       string
	greeting []string
	said     []*saying
	stops    bool // somebody asked for the end of a turn
	late     bool // such a request failed: it may still run
}

// saying is one thing that a user said until it was answered.
type saying struct {
	text     string
	key      string
	from, to time.Time
	joined   bool     // it was sent twice at once, or followed, and all were answered
	refused  bool     // one of two that were sent at once was a turn_conflict
	failed   bool     // an attempt failed in a way that leaves open what came of it
	answer   []string // ids of the messages of the 200; nil when there was none
}

func (c *crowd) breaks(format string, args ...any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.broken) < 20 {
		c.broken = append(c.broken, fmt.Sprintf(format, args...))
	}
}

func (c *crowd) saw(class string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.classes[class]++
}

// heard is what came back.
type heard struct {
	status  int // 0 when the connection broke
	Class   string
	ID      string `json:"conversationId"`
	Message []struct {
		ID, Role, Text string
		Turn           int
		Stopped        bool
	} `json:"messages"`
	Status  any
	Stopped bool
	Earlier int // the turn before which there is more; 0 for none
}

func (h heard) ids() []string {
	out := []string{}
	for _, m := range h.Message {
		out = append(out, m.ID)
	}
	return out
}

// ask sends one request to one replica.
func (c *crowd) ask(base, method, path, key string, body any, stream bool) heard {
	ctx, cancel := context.WithTimeout(c.t.Context(), 5*time.Second)
	defer cancel()
	var reader io.Reader
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			panic(err)
		}
		reader = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(ctx, method, base+path, reader)
	if err != nil {
		panic(err)
	}
	req.Header.Set("Content-Type", "application/json")
	if key != "" {
		req.Header.Set("Idempotency-Key", key)
	}
	if stream {
		req.Header.Set("Accept", "text/event-stream")
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return heard{}
	}
	defer func() { _ = resp.Body.Close() }()
	h := heard{}
	if strings.HasPrefix(resp.Header.Get("Content-Type"), "text/event-stream") {
		h.status = c.lastEvent(resp.Body, &h)
	} else if resp.StatusCode == http.StatusNoContent {
		h.status = resp.StatusCode
	} else if err := json.NewDecoder(resp.Body).Decode(&h); err == nil {
		h.status = resp.StatusCode
	}
	return h
}

// lastEvent reads a stream to its end and gives the status that it tells.
func (c *crowd) lastEvent(body io.Reader, into *heard) int {
	ends, status := 0, 0
	for event, err := range apispec.Events(body) {
		if err != nil {
			break
		}
		if event.Type != "done" && event.Type != "error" {
			continue
		}
		ends++
		if json.Unmarshal([]byte(event.Data), into) != nil {
			return 0
		}
		status = http.StatusOK
		if event.Type == "error" {
			n, _ := into.Status.(float64)
			status = int(n)
		}
	}
	if ends > 1 {
		c.breaks("a stream ended %d times", ends)
	}
	return status
}

// until repeats a request as the front end does, on any 5xx, and after a while
// when the conversation is busy, until it is answered. It gives up after patience.
func (c *crowd) until(r *rand.Rand, s *saying, path string, body any, stream bool) (heard, bool) {
	s.from = time.Now()
	defer func() { s.to = time.Now() }()
	for time.Since(s.from) < patience {
		bases := c.bases()
		h := c.ask(bases[r.IntN(len(bases))], http.MethodPost, path, s.key, body, stream)
		switch {
		case h.status == http.StatusOK:
			c.saw("200")
			return h, true
		case h.status == 0:
			s.failed = true
			c.saw("connection")
		case h.status >= 500:
			s.failed = true
			c.saw(h.Class)
			if h.status == 502 || h.status == 504 || h.status == 500 {
				c.breaks("%s: %d %s, and the agent is well", path, h.status, h.Class)
			}
		case h.status == http.StatusConflict && h.Class == "turn_conflict":
			c.saw(h.Class)
		case h.status == http.StatusNotFound && path == "/api/chat/start":
			c.saw(h.Class)
		default:
			c.breaks("%s: %d %s", path, h.status, h.Class)
			return h, false
		}
		wait := time.Duration(50+r.IntN(250)) * time.Millisecond
		passes(c.t.Context(), wait)
	}
	c.breaks("%s %q was not answered within %v", path, s.text, patience)
	return heard{}, false
}

// user talks in one conversation after another until it is told to stop.
func (c *crowd) user(n int) {
	r := rand.New(rand.NewPCG(c.seed, uint64(n)+100))
	for c.stop.Err() == nil {
		t := &dialogue{}
		s := &saying{text: "start", key: uuid.NewString()}
		h, ok := c.until(r, s, "/api/chat/start", m{}, r.IntN(3) == 0)
		if !ok {
			return
		}
		t.id, t.greeting = h.ID, h.ids()
		c.mu.Lock()
		c.talks = append(c.talks, t)
		c.mu.Unlock()
		for i := 0; i < 8 && c.stop.Err() == nil; i++ {
			if r.IntN(5) == 0 {
				if !c.talkEndless(r, n, t) {
					return
				}
				c.look(r, t, t.said[len(t.said)-1])
				continue
			}
			s := &saying{text: fmt.Sprintf("user %d says %s", n, uuid.NewString())}
			if r.IntN(3) > 0 {
				s.key = uuid.NewString()
			}
			if r.IntN(2) == 0 {
				s.text += fmt.Sprintf("\n/slow %dms", r.IntN(900))
			}
			t.said = append(t.said, s)
			var stopping sync.WaitGroup
			if after := time.Duration(r.IntN(600)) * time.Millisecond; r.IntN(6) == 0 {
				bases := c.bases()
				base := bases[r.IntN(len(bases))]
				stopping.Go(func() {
					passes(c.t.Context(), after)
					c.stopOnce(base, t)
				})
			}
			h, ok := c.until(r, s, "/api/chat/send", m{"conversationId": t.id, "text": s.text}, r.IntN(3) == 0)
			stopping.Wait()
			if !ok {
				return
			}
			s.answer = h.ids()
			c.look(r, t, s)
		}
	}
}

// look reads the conversation from any replica: what was answered must be there.
func (c *crowd) look(r *rand.Rand, t *dialogue, s *saying) {
	bases := c.bases()
	h := c.ask(bases[r.IntN(len(bases))], http.MethodGet, "/api/chat/conversations/"+t.id, "", nil, false)
	if h.status != http.StatusOK {
		return
	}
	for _, id := range s.answer {
		if !slices.Contains(h.ids(), id) {
			c.breaks("conversation %s: a 200 was given for %q, and its message is not there", t.id, s.text)
		}
	}
}

// whole reads a conversation, page by page: a turn without end that nobody could stop
// for a while has more messages than a page.
func (c *crowd) whole(base, id string) heard {
	path := "/api/chat/conversations/" + id
	all := c.ask(base, http.MethodGet, path, "", nil, false)
	for earlier := all.Earlier; all.status == http.StatusOK && earlier > 0; {
		page := c.ask(base, http.MethodGet, fmt.Sprintf("%s?before=%d", path, earlier), "", nil, false)
		all.status, all.Message, earlier = page.status, append(page.Message, all.Message...), page.Earlier
	}
	return all
}

// check holds what the users were told against what is stored, when all is well
// again.
func (c *crowd) check(base string, agent *emulator.Emulator) {
	asked := map[string]int{}
	for _, r := range agent.Requests() {
		if r.Kind == emulator.KindTurn {
			asked[r.Text]++
		}
	}
	for _, t := range c.talks {
		h := c.whole(base, t.id)
		if h.status != http.StatusOK {
			c.breaks("conversation %s: %d", t.id, h.status)
			continue
		}
		c.checkOrder(t, h)
		c.checkTurns(t, h)
		c.checkStopped(t, h)
		for _, s := range t.said {
			if s.joined {
				c.joined++
			}
			if s.refused && !c.troubled(s) {
				c.breaks("conversation %s: %q was refused because it ran itself", t.id, s.text)
			}
			if (s.key != "" || s.joined) && asked[s.text] > 1 && !c.troubled(s) {
				c.breaks("conversation %s: the agent was asked %d times for %q", t.id, asked[s.text], s.text)
			}
		}
	}
}

// checkOrder wants every 200 exactly once and in order.
func (c *crowd) checkOrder(t *dialogue, h heard) {
	var told []string
	told = append(told, t.greeting...)
	for _, s := range t.said {
		told = append(told, s.answer...)
	}
	ids := h.ids()
	at := 0
	for _, id := range told {
		i := slices.Index(ids[at:], id)
		if i < 0 || slices.Contains(ids[at+i+1:], id) {
			c.breaks("conversation %s: message %s of a 200 is lost, twice there, or out of order", t.id, id)
			return
		}
		at += i + 1
	}
}

// checkTurns wants every answer after its question, at most one for each but for
// those without end, and no question twice that came with a key.
func (c *crowd) checkTurns(t *dialogue, h heard) {
	questions, turn, answers, most := map[string]int{}, 0, 0, 1
	for _, msg := range h.Message {
		if msg.Turn == 0 {
			continue
		}
		if msg.Role == "user" {
			questions[msg.Text]++
			if msg.Turn != turn+1 {
				c.breaks("conversation %s: turn %d follows turn %d", t.id, msg.Turn, turn)
			}
			turn, answers, most = msg.Turn, 0, 1
			if strings.HasSuffix(msg.Text, withoutEnd) {
				most = len(h.Message)
			}
			continue
		}
		answers++
		if msg.Turn != turn || answers > most {
			c.breaks("conversation %s: an answer in turn %d, number %d, after the question of turn %d", t.id, msg.Turn, answers, turn)
		}
	}
	for _, s := range t.said {
		n := questions[s.text]
		if n > 1 && (s.key != "" || !s.failed) || n == 0 && s.answer != nil {
			c.breaks("conversation %s: %q was asked %d times", t.id, s.text, n)
		}
	}
}

// troubled says whether a turn may have been taken over while it ran.
func (c *crowd) troubled(s *saying) bool {
	return slices.ContainsFunc(c.troubles, func(t trouble) bool { return s.from.Before(t.to) && t.from.Before(s.to) })
}
