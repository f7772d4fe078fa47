package matrix

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"
)

const (
	patience = time.Minute // how long anybody waits for an answer
	decoded  = 256 << 10   // bytes of an answer that are looked at
)

// assault is an attack on a site.
type assault struct {
	Attack
	Site
	tb    testing.TB
	ctx   context.Context // the time that it has
	redis *goredis.Client // nil for the store in memory
	asker
	beside bool // others attack, too

	id   string // a conversation that was prepared
	full bool   // it is
	gone func() // ends what was opened

	mu      sync.Mutex
	broken  []string
	answers map[string]int
}

// asker asks a service as one user.
type asker struct {
	base, token string
	client      *http.Client
}

func newAsker(tb testing.TB, base, token string) asker {
	tb.Helper()
	transport := &http.Transport{MaxIdleConnsPerHost: 64}
	tb.Cleanup(transport.CloseIdleConnections)
	return asker{base: base, token: token, client: &http.Client{Transport: transport, Timeout: patience}}
}

func newAssault(tb testing.TB, s Site, redis *goredis.Client, a Attack) *assault {
	tb.Helper()
	return &assault{
		Attack: a, Site: s, tb: tb, ctx: tb.Context(), redis: redis, answers: map[string]int{},
		asker: newAsker(tb, s.Base, s.Token(AttackingTenant, a.ID)),
	}
}

// response is what a service answered; Status is 0 where it did not.
type response struct {
	Status         int `json:"-"`
	Size           int `json:"-"`
	Class          string
	ConversationID string
	Earlier        int
	Messages       []struct{ Role string }
}

// String is the status and the class.
func (r response) String() string {
	if r.Status == 0 {
		return "no answer"
	}
	return strings.TrimSpace(strconv.Itoa(r.Status) + " " + r.Class)
}

// ask sends a request, with a body if it is not nil, and reads the whole answer.
func (a asker) ask(ctx context.Context, path string, body any, headers ...string) (r response) {
	method, reader := http.MethodGet, io.Reader(nil)
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			return r
		}
		method, reader = http.MethodPost, bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(ctx, method, a.base+path, reader)
	if err != nil {
		return r
	}
	req.Header.Set("Content-Type", "application/json")
	if a.token != "" {
		req.Header.Set("Authorization", "Bearer "+a.token)
	}
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := a.client.Do(req)
	if err != nil {
		return r
	}
	defer func() { _ = resp.Body.Close() }()
	// The rest of a large answer is counted only: to decode it would take more from
	// the machine than the service's own work.
	text, err := io.ReadAll(io.LimitReader(resp.Body, decoded))
	if err != nil {
		return r
	}
	rest, err := io.Copy(io.Discard, resp.Body)
	if err != nil {
		return r
	}
	if rest == 0 {
		_ = json.Unmarshal(text, &r) // what is no JSON has a status only
	}
	r.Status, r.Size = resp.StatusCode, len(text)+int(rest)
	return r
}

// call is ask, noted as the attacker's. What the end of the attack cuts off is not.
func (a *assault) call(path string, body any, headers ...string) response {
	r := a.ask(a.ctx, path, body, headers...)
	if a.ctx.Err() == nil {
		a.mu.Lock()
		defer a.mu.Unlock()
		a.answers[r.String()]++
	}
	return r
}

// breaks notes, once, that what was promised is not so.
func (a *assault) breaks(format string, args ...any) {
	text := a.ID + ": " + fmt.Sprintf(format, args...)
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, b := range a.broken {
		if b == text {
			return
		}
	}
	a.broken = append(a.broken, text)
}

// expects has an answer be one of those; what the end cut off may be any.
func (a *assault) expects(what string, r response, allowed ...string) {
	for _, s := range allowed {
		if r.String() == s {
			return
		}
	}
	if a.ctx.Err() == nil {
		a.breaks("%s: got %q, want one of %q", what, r, allowed)
	}
}

// together is the least time between two requests of one caller where all attack at
// once: what is tried there is what they hold, not how fast two processors are.
const together = 250 * time.Millisecond

// loop has n callers do f again and again until the time is over.
func (a *assault) loop(n int, f func(caller int)) {
	pace := time.Duration(0)
	if a.beside {
		pace = together
	}
	a.paced(n, pace, f)
}

// paced is loop with a least time between two beginnings of one caller.
func (a *assault) paced(n int, pace time.Duration, f func(caller int)) {
	var all sync.WaitGroup
	for caller := range n {
		all.Go(func() {
			for a.ctx.Err() == nil {
				next := time.NewTimer(pace)
				f(caller)
				select {
				case <-next.C:
				case <-a.ctx.Done():
					next.Stop()
				}
			}
		})
	}
	all.Wait()
}

// start begins a conversation of the attacker's.
func (a *assault) start() string { return a.call("/api/chat/start", struct{}{}).ConversationID }

type messageBody struct {
	ConversationID string    `json:"conversationId"`
	Text           string    `json:"text"`
	Workflow       *workflow `json:"workflowContext,omitempty"`
}

type workflow struct {
	Step string            `json:"step"`
	Data map[string]string `json:"collectedData"`
}

// send says something in a conversation.
func (a *assault) send(id, text string, headers ...string) response {
	return a.call("/api/chat/send", messageBody{ConversationID: id, Text: text}, headers...)
}

// victims are the users of the other tenant.
type victims struct {
	tb  testing.TB
	all []*victim
}

type victim struct {
	asker
	id   string
	sent int
}

func newVictims(tb testing.TB, s Site) *victims {
	tb.Helper()
	v := &victims{tb: tb}
	for n := range others {
		v.all = append(v.all, &victim{asker: newAsker(tb, s.Base, s.Token(OtherTenant, fmt.Sprintf("user-%d", n)))})
	}
	return v
}

// perConversation is after how many sends a user starts another conversation.
const perConversation = 1000

// send has all of them send until ctx is done. It counts the answers, and gives how
// long the sends took.
func (v *victims) send(ctx context.Context, answers map[string]int) []time.Duration {
	var mu sync.Mutex
	var took []time.Duration
	var sending sync.WaitGroup
	for _, u := range v.all {
		sending.Go(func() {
			tick := time.NewTicker(interval)
			defer tick.Stop()
			for ctx.Err() == nil {
				began, r := time.Now(), u.next(v.tb.Context())
				mu.Lock()
				took = append(took, time.Since(began))
				answers[r.String()]++
				mu.Unlock()
				select {
				case <-tick.C:
				case <-ctx.Done():
				}
			}
		})
	}
	sending.Wait()
	return took
}

// next sends once, in a new conversation from time to time.
func (u *victim) next(ctx context.Context) response {
	if u.sent%perConversation == 0 {
		r := u.ask(ctx, "/api/chat/start", struct{}{})
		if u.id = r.ConversationID; r.Status != http.StatusOK {
			return r
		}
	}
	u.sent++
	return u.ask(ctx, "/api/chat/send", messageBody{ConversationID: u.id, Text: "hello"})
}

// peakMB is the most memory that a process ever had, in MiB.
func peakMB(pid int) (int, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, fmt.Errorf("memory of the service: %w", err)
	}
	m := regexp.MustCompile(`(?m)^VmHWM:\s+(\d+) kB$`).FindSubmatch(text)
	if m == nil {
		return 0, fmt.Errorf("memory of the service: no VmHWM of process %d", pid)
	}
	kb, err := strconv.Atoi(string(m[1]))
	return kb >> 10, err
}

// openBreaker asks the metrics.
func openBreaker(tb testing.TB, s Site) (bool, error) {
	tb.Helper()
	n, found, err := metric(tb, s.Admin, "parley_store_breaker_open")
	if err == nil && !found {
		tb.Error("the metrics say nothing of the breaker")
	}
	return n != 0, err
}

// metric reads one from the page for operators; found is false where there is none, and
// the error says that there was no page.
func metric(tb testing.TB, base, name string) (n float64, found bool, err error) {
	tb.Helper()
	req, err := http.NewRequestWithContext(tb.Context(), http.MethodGet, base+"/metrics", nil)
	if err != nil {
		return 0, false, err
	}
	resp, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: patience}).Do(req)
	if err != nil {
		return 0, false, err
	}
	defer func() { _ = resp.Body.Close() }()
	page, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, false, err
	}
	m := regexp.MustCompile(`(?m)^` + name + `(?:\{[^}]*\})? (\S+)$`).FindSubmatch(page)
	if m == nil {
		return 0, false, nil
	}
	n, err = strconv.ParseFloat(string(m[1]), 64)
	return n, err == nil, err
}
