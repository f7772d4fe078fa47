package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
)

// screenshotsVar names the directory where pictures of the page are kept, for a person
// to look at; none are made without it.
const screenshotsVar = "PARLEY_SCREENSHOTS"

// tryPageOf is the page /try of a service with the emulated agent and the store in
// memory, as make run starts it.
type tryPageOf struct {
	*page
	base string
}

// In a real browser: what a newcomer sees who tries the service.
func TestBrowserTry(t *testing.T) {
	b := newBrowser(t)
	base := startService(t, &bytes.Buffer{}, "COPILOT_EMULATOR", "true", "TRACE_URL_TEMPLATE", "http://jaeger.example/trace/{traceId}")
	p := &tryPageOf{b.open(t, base+"/try"), base}
	p.do(chromedp.EmulateViewport(1280, 900))
	for _, c := range []struct {
		name string
		try  func(*tryPageOf, *testing.T)
	}{
		{"the agent greets, and answers", (*tryPageOf).answers},
		{"a store that fails is a 503 with its class and its trace, and a repeat goes through", (*tryPageOf).storeFails},
		{"an agent that fails is a 502", (*tryPageOf).agentFails},
		{"a card is filled in and sent", (*tryPageOf).cardIsSent},
		{"what the agent says is text", (*tryPageOf).onlyText},
		{"an answer goes on after a reload, and is stopped", (*tryPageOf).reloadsAndStops},
		{"a conversation is opened again", (*tryPageOf).reopens},
		{"it works by keyboard, and says what things are", (*tryPageOf).accessible},
		{"it fits in light, in dark and on 360 pixels", (*tryPageOf).fits},
	} {
		t.Run(c.name, func(t *testing.T) {
			p.t = t
			c.try(p, t)
		})
	}
	p.t = t
	t.Run("whoever signs in pastes a token, which is kept nowhere", func(t *testing.T) { tokenIsPasted(t, b) })
}

func tokenIsPasted(t *testing.T, b *browser) {
	key, issuer, settings := newSignIn(t)
	base, _ := child(t, append(settings, "COPILOT_EMULATOR", "true")...)
	p := &tryPageOf{b.open(t, base+"/try"), base}
	token := key.Token(issuer.Claims())
	p.do(chromedp.SetValue(chromedp.CSS("#token"), token), chromedp.Click(chromedp.CSS("#sign-in button")))
	p.answered("Hello, I am an emulated agent.")
	p.settle()
	if kept := value[string](p.page, `JSON.stringify([localStorage, sessionStorage, document.cookie, location.href])`); strings.Contains(kept, token) || !strings.HasPrefix(kept, `[{},{},"",`) {
		t.Errorf("kept: %s", kept)
	}
	p.do(chromedp.Reload())
	p.settle()
	if again := value[string](p.page, `document.querySelector("#token").value`); again != "" {
		t.Errorf("after a reload the field has %q", again)
	}
}

// ask says something, and waits for what comes of it. That the page is busy is nothing to
// wait for: it may be over before anybody looks.
func (p *tryPageOf) ask(text string) {
	p.t.Helper()
	const asked = `document.querySelectorAll("#log li[data-role=user]").length`
	before := value[int](p.page, asked)
	p.say(text)
	p.wait(fmt.Sprintf("%s > %d", asked, before)) // busy from then on
	p.settle()
}

// answered waits for an answer that contains a text.
func (p *tryPageOf) answered(text string) {
	p.t.Helper()
	p.wait(fmt.Sprintf(`[...document.querySelectorAll("#log li[data-role=assistant] .said")].some((said) => said.textContent.includes(%s))`, quoted(text)))
}

// came wants the last request to have come to that.
func (p *tryPageOf) came(status, class, side, stage string) {
	p.t.Helper()
	type seen struct{ Status, Side, Text, Stage, Trace, Time string }
	s := value[seen](p.page, `(() => {
		const fact = (name) => document.querySelector("[data-fact='" + name + "']");
		return { Status: verdict.dataset.status, Side: verdict.dataset.side, Text: verdict.textContent, Stage: fact("Stage").textContent,
			Trace: fact("Trace").querySelector("a").href, Time: fact("Time").textContent };
	})()`)
	if s.Status != status || s.Side != side || !strings.Contains(s.Text, class) || !strings.HasPrefix(s.Stage, stage) {
		p.t.Errorf("the page says %+v, want %s %s, of the %s, at %s", s, status, class, side, stage)
	}
	if len(s.Trace) != len("http://jaeger.example/trace/")+32 || !strings.Contains(s.Time, "in the store") || !strings.Contains(s.Time, "upstream") {
		p.t.Errorf("the page says %+v", s)
	}
}

func (p *tryPageOf) answers(*testing.T) {
	p.answered("Hello, I am an emulated agent.")
	p.ask("hello")
	p.answered("You said (turn 1): hello")
	p.came("200", "", "none", "ran to its end")
	p.wait(`document.querySelector("#record").textContent.includes("You said (turn 1): hello")`)
	p.wait(`document.querySelector("#announce").textContent.includes("You said (turn 1): hello")`)
}

// break has the store fail with a class, or not at all.
func (p *tryPageOf) breakStore(class string) {
	p.t.Helper()
	p.do(chromedp.Click(chromedp.CSS(fmt.Sprintf("#store input[value='%s']", class))))
	waitFor(p.t, func() bool { // the page asks the service, which warns as long as it lasts
		warned := strings.Contains(strings.Join(call(p.t, p.base+"/health", nil).Warnings, " "), "on purpose")
		return warned == (class != "")
	})
}

func (p *tryPageOf) storeFails(t *testing.T) {
	p.breakStore("store_unreachable")
	p.ask("anybody there?")
	p.came("503", "store_unreachable", "store", "begin")
	if got := value[string](p.page, `failure.textContent`); !strings.Contains(got, "503 store_unreachable") {
		t.Errorf("the user is told %q", got)
	}
	p.wait(`document.querySelector("#record").textContent.includes("store_unreachable")`)
	p.picture("503")
	p.breakStore("")
	p.do(chromedp.Click(chromedp.CSS("#again")))
	p.answered("anybody there?")
	p.settle()
	p.came("200", "", "none", "ran to its end")
	if n := value[int](p.page, `[...document.querySelectorAll("#log li[data-role=user]")].filter((li) => li.textContent.includes("anybody")).length`); n != 1 {
		t.Errorf("the message is shown %d times", n)
	}
}

func (p *tryPageOf) agentFails(*testing.T) {
	p.do(chromedp.Click(chromedp.CSS("#commands button[aria-label^='/status 500']")))
	p.wait(`document.body.dataset.busy === "0" && verdict.dataset.status === "502"`)
	p.came("502", "upstream_error", "agent", "upstream")
}

func (p *tryPageOf) cardIsSent(*testing.T) {
	p.ask("/card")
	p.wait(`document.querySelector("#log form.card input[type=date]") !== null`)
	p.do(chromedp.SetValue(chromedp.CSS("#log form.card input[type=date]"), "2026-02-03"))
	p.picture("card")
	p.do(chromedp.Click(chromedp.CSS("#log form.card button")))
	p.wait(`[...document.querySelectorAll("#log li[data-role=user]")].some((li) => li.textContent.includes("Send"))`)
	p.settle()
	p.came("200", "", "none", "ran to its end")
	p.wait(`document.querySelector("#log form.card input[type=date]").disabled`)
}

func (p *tryPageOf) onlyText(t *testing.T) {
	const markup = `<img src="http://evil.example/x.png" onerror="document.title='taken'"><script>document.title='taken'</script>`
	p.ask(markup)
	p.answered(markup)
	if n := value[int](p.page, `document.querySelectorAll("#log img, #log script").length`); n != 0 {
		t.Errorf("%d elements were made of what the agent said", n)
	}
	if foreign := value[[]string](p.page, `performance.getEntriesByType("resource").map((e) => e.name).filter((name) => !name.startsWith(location.origin + "/"))`); len(foreign) > 0 {
		t.Errorf("the page asked %v", foreign)
	}
}

func (p *tryPageOf) reloadsAndStops(t *testing.T) {
	p.say("/endless 300ms")
	p.answered("Message 2")
	p.do(chromedp.Reload())
	p.answered("Message 4")
	if n := value[int](p.page, `[...document.querySelectorAll("#log .said")].filter((said) => said.textContent === "Message 1").length`); n != 1 {
		t.Errorf("the first message is shown %d times", n)
	}
	p.do(chromedp.Click(chromedp.CSS("#stop")))
	p.settle()
	p.came("200", "", "none", "ran to its end")
	p.wait(`document.querySelector("#stop").hidden && document.querySelector("[data-note=stopped]") !== null`)
}

func (p *tryPageOf) reopens(*testing.T) {
	before := value[string](p.page, "location.hash")
	p.do(chromedp.Click(chromedp.CSS("#new")))
	p.wait(fmt.Sprintf(`document.body.dataset.busy === "0" && location.hash !== %s && document.querySelectorAll("#log li").length === 1`, quoted(before)))
	p.do(chromedp.Click(chromedp.CSS(fmt.Sprintf("#list a[href='%s']", before))))
	p.answered("You said (turn 1): hello")
	p.settle()
}

func (p *tryPageOf) accessible(t *testing.T) {
	p.do(chromedp.SendKeys(chromedp.CSS("#text"), "by keyboard\r"))
	p.answered("by keyboard")
	p.settle()
	nameless := value[[]string](p.page, `[...document.querySelectorAll("button, input, textarea, select, fieldset, nav, aside, [tabindex='0']")]
		.filter((e) => e.getClientRects().length > 0)
		.filter((e) => !(e.labels?.length || e.ariaLabel || e.ariaLabelledByElements?.length || e.querySelector(":scope > legend") || e.tagName === "BUTTON" && e.textContent.trim()))
		.map((e) => e.outerHTML.slice(0, 80))`)
	if len(nameless) > 0 {
		t.Errorf("nothing says what these are: %q", nameless)
	}
}

func (p *tryPageOf) fits(t *testing.T) {
	for _, c := range []struct {
		scheme        string
		width, height int64
	}{{"light", 1280, 900}, {"dark", 1280, 900}, {"light", 800, 900}, {"light", 360, 740}, {"dark", 360, 740}} {
		media := emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: c.scheme}}}
		p.do(chromedp.EmulateViewport(c.width, c.height), chromedp.Func(func(ctx context.Context, target *chromedp.Target) error {
			_, err := cdp.Call(ctx, target, emulation.SetEmulatedMedia, media)
			return err
		}))
		if got := value[int64](p.page, "document.documentElement.scrollWidth"); got > c.width {
			t.Errorf("on %d pixels the page is %d wide", c.width, got)
		}
		if least := value[float64](p.page, leastContrast); least < 4.5 {
			t.Errorf("in %s, some text has a contrast of %.1f: WCAG 2.2 asks for 4.5", c.scheme, least)
		}
		p.picture(fmt.Sprintf("%s-%d", c.scheme, c.width))
	}
}

// leastContrast is the least contrast between a text and what is behind it (WCAG 2.2,
// success criterion 1.4.3).
const leastContrast = `(() => {
	const rgb = (color) => color.match(/[\d.]+/g).map(Number);
	const luminance = ([r, g, b]) => [r, g, b].map((c) => c / 255).map((c) => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4)
		.reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
	const behind = (e) => { for (; e; e = e.parentElement) { const c = rgb(getComputedStyle(e).backgroundColor); if (c.length < 4 || c[3] > 0) return c; } return [255, 255, 255]; };
	const texts = [...document.querySelectorAll("body *")].filter((e) => e.getClientRects().length > 0 && [...e.childNodes].some((n) => n.nodeType === Node.TEXT_NODE && n.data.trim()));
	return Math.min(...texts.map((e) => {
		const [a, b] = [luminance(rgb(getComputedStyle(e).color)), luminance(behind(e))].sort((x, y) => y - x);
		return (a + 0.05) / (b + 0.05);
	}));
})()`

// picture keeps what the page looks like, if somebody wants to see it.
func (p *tryPageOf) picture(name string) {
	p.t.Helper()
	dir := os.Getenv(screenshotsVar)
	if dir == "" {
		return
	}
	png, err := chromedp.Run(p.ctx, chromedp.FullScreenshot(100))
	if err == nil {
		err = os.MkdirAll(dir, 0o755)
	}
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, "try-"+name+".png"), png, 0o644)
	}
	if err != nil {
		p.t.Error(err)
	}
}
