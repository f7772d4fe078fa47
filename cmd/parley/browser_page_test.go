package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

// The settings of the browser test. make browser sets them.
const (
	browserVar        = "PARLEY_BROWSER"  // the program; without one the test is skipped,
	requireBrowserVar = "REQUIRE_BROWSER" // unless this forbids it
)

// patienceOfPages is how long a page may take until it shows something. Only a page
// that never will takes that long.
const patienceOfPages = time.Minute

// browser is a running one. Its context is what chromedp knows it by.
type browser struct{ ctx context.Context }

// newBrowser starts a browser that reaches nothing but this machine. It ends with the
// test.
func newBrowser(t *testing.T) *browser {
	t.Helper()
	program := os.Getenv(browserVar)
	if program == "" {
		const why = "no browser: " + browserVar + " names none; `make browser` sets up what is needed"
		// Any value that does not plainly say no counts as yes.
		if yes, err := strconv.ParseBool(cmp.Or(os.Getenv(requireBrowserVar), "0")); yes || err != nil {
			t.Fatalf("%s, and %s is set", why, requireBrowserVar)
		}
		t.Skip(why)
	}
	// Not the test's own context: that is done before the test's cleanups, and the
	// browser would be killed, not ended.
	life := context.WithoutCancel(t.Context())
	alloc, _ := chromedp.NewExecAllocator(life, append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(program),
		chromedp.NoSandbox, // needs more than containers have; all pages are our own
		chromedp.DisableGPU,
		chromedp.Flag("disable-quic", true),
		chromedp.Flag("disable-component-update", true),
		chromedp.Flag("no-proxy-server", true),
		chromedp.Flag("host-resolver-rules", "MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"),
	)...)
	ctx, end := chromedp.NewContext(alloc)
	t.Cleanup(end)
	if err := chromedp.Do(ctx); err != nil {
		t.Fatalf("start %s: %v", program, err)
	}
	return &browser{ctx}
}

// page is the front end in a tab of its own. It shares nothing with other tabs.
type page struct {
	t   *testing.T
	ctx context.Context

	mu      sync.Mutex
	console []string
}

// message is what the page shows, or what is stored.
type message struct{ ID, Role, Text string }

// open opens the front end, and waits until it has greeted. When the test has failed
// it logs what the page and its console say.
func (b *browser) open(t *testing.T, url string) *page {
	t.Helper()
	ctx, end := chromedp.NewContext(b.ctx, chromedp.WithNewBrowserContext())
	p := &page{t: t, ctx: ctx}
	var listening sync.WaitGroup
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(p.report())
		}
		end()
		listening.Wait()
	})
	lines := chromedp.Console(ctx)
	listening.Go(func() {
		for line, err := range lines {
			if err != nil {
				return
			}
			p.mu.Lock()
			p.console = append(p.console, line.String())
			p.mu.Unlock()
		}
	})
	p.do(chromedp.Navigate(url))
	p.settle()
	return p
}

// stream changes to the front end that streams.
func (p *page) stream() {
	p.t.Helper()
	p.do(chromedp.Navigate(value[string](p, "location.origin") + "/?mode=stream"))
	p.settle()
}

// do wants something done with the page.
func (p *page) do(steps ...chromedp.Action[chromedp.Void]) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, patienceOfPages)
	defer cancel()
	if err := chromedp.Do(ctx, steps...); err != nil {
		p.t.Fatalf("the page: %v", err)
	}
}

// wait waits until an expression is true in the page.
func (p *page) wait(expression string) {
	p.t.Helper()
	_, err := chromedp.Run(p.ctx, chromedp.Poll[bool](expression,
		chromedp.WithPollingInterval(20*time.Millisecond), chromedp.WithPollingTimeout(patienceOfPages)))
	if err != nil {
		p.t.Fatalf("waited for %s: %v", expression, err)
	}
}

// settle waits until nothing that the user asked for has yet to be answered.
func (p *page) settle() {
	p.t.Helper()
	p.wait(`document.body.dataset.busy === "0"`)
}

// showing waits until the page shows exactly that as an answer.
func (p *page) showing(text string) {
	p.t.Helper()
	p.wait(fmt.Sprintf(`[...document.querySelectorAll("li[data-role=assistant]")].some((li) => li.textContent === %s)`, quoted(text)))
}

// say has the user say something, and does not wait for an answer.
func (p *page) say(text string) {
	p.t.Helper()
	p.do(chromedp.SetValue(chromedp.CSS("#text"), text), chromedp.Click(chromedp.CSS("#send")))
}

// quoted writes a text for a script.
func quoted(text string) string {
	b, err := json.Marshal(text)
	if err != nil {
		panic(err)
	}
	return string(b)
}

// value is what an expression is in a page.
func value[T any](p *page, expression string) T {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, patienceOfPages)
	defer cancel()
	v, err := chromedp.Run(ctx, chromedp.Evaluate[T](expression))
	if err != nil {
		p.t.Fatalf("%s: %v", expression, err)
	}
	return v
}

// grew wants everything that answers ever looked like to be the beginning of a text.
func (p *page) grew(whole string) {
	p.t.Helper()
	for id, texts := range value[map[string][]string](p, "window.shown") {
		for _, text := range texts {
			if !strings.HasPrefix(whole, text) && !strings.HasPrefix(text, "Hello, I am an emulated agent.") {
				p.t.Errorf("message %s was shown as %q", id, text)
			}
		}
	}
}

func (p *page) conversation() string { p.t.Helper(); return value[string](p, "conversation") }

// tries is how many requests for sends the page made. What the browser repeats by
// itself is not among them.
func (p *page) tries() int { p.t.Helper(); return value[int](p, "Number(document.body.dataset.tries)") }

func (p *page) failure() string {
	p.t.Helper()
	return value[string](p, `document.querySelector("#error").textContent`)
}

// messages are what the user sees.
func (p *page) messages() []message {
	p.t.Helper()
	return value[[]message](p, `[...document.querySelectorAll("#log li")].map(
		(li) => ({ID: li.dataset.id ?? "", Role: li.dataset.role, Text: li.textContent}))`)
}

// report is what the page and its console say, for a test that failed.
func (p *page) report() string {
	ctx, cancel := context.WithTimeout(p.ctx, 5*time.Second)
	defer cancel()
	text, err := chromedp.Run(ctx, chromedp.Evaluate[string]("document.body.innerText"))
	if err != nil {
		text = err.Error()
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return fmt.Sprintf("the page:\n%s\nits console:\n%s", text, strings.Join(p.console, "\n"))
}
