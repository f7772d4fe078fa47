package matrix

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"parley/contracttest/faultproxy"
)

// holding is the pace of callers who hold what there is, which is no matter of speed.
const holding = 200 * time.Millisecond

const (
	largeText = 64 << 10 // the longest that may be sent
	pageMax   = 1<<20 + 4*largeText
	starters  = 4        // who start conversations at once
	fullMax   = 12 << 20 // in Redis: the default bound, a last answer and what Redis adds
)

// fill writes to a new conversation until it is full.
func (a *assault) fill() {
	a.id = a.start()
	text := strings.Repeat("x", largeText)
	for range 100 {
		r := a.send(a.id, text)
		if a.full = r.String() == "409 conversation_full"; a.full {
			return
		}
		a.expects("a message before it is full", r, "200", "429 overloaded")
	}
	a.breaks("a conversation takes 100 messages of %d bytes, and their answers", largeText)
}

func (a *assault) read(id, query string) response {
	r := a.call("/api/chat/conversations/"+id+query, nil)
	if r.Size > pageMax {
		a.breaks("a page of more than %d bytes", pageMax)
	}
	return r
}

func (a *assault) readFull() {
	a.loop(8, func(int) { a.expects("a read", a.read(a.id, ""), "200", "429 overloaded") })
}

func (a *assault) goOnInFull() {
	if !a.full {
		return
	}
	a.loop(2, func(caller int) {
		if caller == 0 {
			a.expects("a message to a full conversation", a.send(a.id, "more"), "409 conversation_full")
			return
		}
		seen, query := 0, "?limit=2"
		for a.ctx.Err() == nil {
			r := a.read(a.id, query)
			if a.expects("a page", r, "200"); r.Status != http.StatusOK {
				return
			}
			seen += len(r.Messages)
			if r.Earlier == 0 {
				break
			}
			query = "?limit=2&before=" + strconv.Itoa(r.Earlier)
		}
		if a.ctx.Err() == nil && seen < 2*(8<<20)/(2*largeText)-8 {
			a.breaks("all pages together have %d messages", seen)
		}
	})
	if n := a.stored(a.id); n > fullMax {
		a.breaks("a full conversation takes more than %d bytes in Redis", fullMax)
	}
}

// stored is how many bytes Redis takes for a conversation; 0 for the store in memory.
func (a *assault) stored(id string) (bytes int64) {
	if a.redis == nil {
		return 0
	}
	ctx := a.tb.Context()
	keys := a.redis.Scan(ctx, 0, a.Prefix+"*"+id+"*", 1000).Iterator()
	found := false
	for keys.Next(ctx) {
		n, _ := a.redis.MemoryUsage(ctx, keys.Val(), 0).Result() // an error for what is gone meanwhile
		bytes, found = bytes+n, true
	}
	if err := keys.Err(); err != nil || !found {
		a.breaks("Redis has no keys of the conversation: %v", err)
	}
	return bytes
}

// withData starts a conversation that keeps 64 KiB of data.
func (a *assault) withData() string {
	id := a.start()
	data := map[string]string{"x": strings.Repeat("d", largeText-16)}
	a.expects("the data", a.call("/api/chat/send", messageBody{ConversationID: id, Text: "first", Workflow: &workflow{Step: "a step", Data: data}}), "200")
	return id
}

func (a *assault) measureKeys() {
	id := a.withData()
	text := strings.Repeat("t", 75)
	for n := range 500 {
		a.expects("a message with a key", a.send(id, text, "Idempotency-Key", fmt.Sprintf("alone-%d", n)), "200")
	}
	if n := a.stored(id); n > 500_000 {
		a.breaks("Redis holds %d bytes after 500 messages", n)
	}
}

func (a *assault) sendWithKeys() {
	id, n := a.withData(), 0
	a.loop(1, func(int) {
		n++
		a.expects("a message with a key", a.send(id, "short", "Idempotency-Key", strconv.Itoa(n)), "200")
	})
}

// large starts a conversation of ten large turns.
func (a *assault) large() string {
	id := a.start()
	for range 10 {
		a.expects("a large message", a.send(id, strings.Repeat("x", largeText)), "200")
	}
	return id
}

func (a *assault) measureNothingNew() {
	id := a.large()
	const reads = 100
	before := a.sent()
	for range reads {
		a.expects("a read", a.read(id, "?after=10"), "200")
	}
	if n := (a.sent() - before) / reads; n > 2<<10 {
		a.breaks("a read of nothing takes %d bytes from Redis", n)
	}
}

// sent is how many bytes Redis has sent to everybody.
func (a *assault) sent() int64 {
	info, err := a.redis.Info(a.tb.Context(), "stats").Result()
	if err != nil {
		a.tb.Error(err)
	}
	_, rest, _ := strings.Cut(info, "total_net_output_bytes:")
	n, err := strconv.ParseInt(strings.Fields(rest + " ?")[0], 10, 64)
	if err != nil {
		a.tb.Error(err)
	}
	return n
}

func (a *assault) readNothingNew() {
	id := a.large()
	a.loop(8, func(int) { a.expects("a read", a.read(id, "?after=10"), "200") })
}

func (a *assault) haveMuchSaid() {
	says := []string{"/oversize 60000000", "/oversize 3000000", "/endless", "/oversize 3000000"}
	ids := make([]string, len(says))
	for i := range ids {
		ids[i] = a.start()
	}
	a.loop(len(says), func(caller int) {
		a.expects("a large answer", a.send(ids[caller], says[caller]), "502 upstream_protocol")
	})
}

// openBodies returns when one of them was refused: all places for them are taken.
func (a *assault) openBodies() {
	ctx, leave := context.WithCancel(a.ctx)
	refused := make(chan struct{}, 1)
	wait := BodiesThatNeverArrive(ctx, a.Base, a.token, func() {
		select {
		case refused <- struct{}{}:
		default:
		}
	})
	a.gone = func() { leave(); wait() }
	select {
	case <-refused:
	case <-time.After(patience):
		a.breaks("none of 4,000 is refused")
	}
}

func (a *assault) keepBodies() {
	<-a.ctx.Done()
	a.gone()
}

func (a *assault) readNothing() {
	ctx, leave := context.WithCancel(a.ctx)
	defer leave()
	unread := openStreams(ctx, a.Base, []string{"/metrics", "/large.txt"})
	a.loop(1, func(int) { a.expects("who reads the file", a.call("/large.txt", nil), "200") })
	leave()
	if unread() == 0 {
		a.breaks("none of 2,000 streams is answered, so that there was no attack")
	}
}

func (a *assault) showUnknownKeys() {
	stranger := newAsker(a.tb, a.Base, a.Stranger)
	a.HangIssuer()
	a.paced(100, holding, func(int) {
		r := stranger.ask(a.ctx, "/api/chat/conversations", nil)
		a.expects("a token of an unknown key", r, "503 auth_unavailable", "429 overloaded", "401 unauthenticated")
	})
}

func (a *assault) keepConnections() {
	closeAll := idleConnections(a.ctx, a.Base, a.Connections)
	defer closeAll()
	a.loop(1, func(int) {
		// A connection of its own for each, as a kubelet has.
		for _, path := range []string{"/livez", "/readyz", "/health"} {
			operator := newAsker(a.tb, a.Admin, "")
			operator.client.Transport = &http.Transport{DisableKeepAlives: true}
			a.expects(path, operator.ask(a.ctx, path, nil), "200")
		}
	})
}

func (a *assault) takeRoom() {
	a.loop(1, func(int) { a.expects("a start", a.call("/api/chat/start", struct{}{}), "200") })
}

// startMany knows the setting from the attack, or else the default.
func (a *assault) startMany() {
	quota := int64(1000)
	if i := slices.Index(a.Settings, "MAX_CONVERSATIONS_PER_USER"); i >= 0 {
		quota, _ = strconv.ParseInt(a.Settings[i+1], 10, 64)
	}
	var begun atomic.Int64
	a.loop(starters, func(int) {
		r := a.call("/api/chat/start", struct{}{})
		a.expects("a start", r, "200", "429 quota_exceeded")
		if r.Status == http.StatusOK && begun.Add(1) == quota+1 {
			a.breaks("%d conversations, allowed are %d", quota+1, quota)
		}
	})
}

func (a *assault) keepTurns() {
	a.paced(100, holding, func(int) {
		a.expects("a turn", a.call("/api/chat/orchestrate", map[string]string{"query": "/nothing"}), "429 overloaded", "504 upstream_timeout")
	})
}

func (a *assault) fillLine() {
	a.Proxy.Set(faultproxy.Throttle(2 << 20))
	defer a.Proxy.Heal()
	var slow atomic.Bool
	a.loop(8, func(int) {
		began := time.Now()
		if a.read(a.id, ""); time.Since(began) > soon {
			slow.Store(true)
		}
	})
	if !slow.Load() {
		a.breaks("no read took longer than %v, so that the line was not slow", soon)
	}
}

// fillLog asks until the metrics say that lines were dropped.
func (a *assault) fillLog() {
	id := strings.Repeat("x", 128)
	for began := time.Now(); time.Since(began) < patience; {
		for range 500 {
			a.expects("/livez", a.call("/livez", nil, "X-Request-Id", id), "200", "429 overloaded")
		}
		n, _, err := metric(a.tb, a.Admin, "parley_logs_dropped_total")
		if err != nil {
			a.breaks("the metrics cannot be read: %v", err)
		}
		if n > 0 || err != nil {
			return
		}
	}
	a.breaks("no line of the log was dropped")
}

func (a *assault) writeToFullLog() {
	a.loop(8, func(int) { a.expects("/livez", a.call("/livez", nil), "200", "429 overloaded") })
}
