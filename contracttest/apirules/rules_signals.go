package apirules

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"

	"parley/contracttest/claims"
	"parley/contracttest/faultproxy"
	"parley/contracttest/matrix"
	"parley/contracttest/otlptest"
)

// exportTime is how long a server may take to export what it has measured, beside
// what its profile says to it.
const exportTime = 10 * time.Second

// provocation is a way to a failure.
type provocation struct {
	word, class string
	status      int
	onRedis     bool
	provoke     func(e *env, proxy *faultproxy.Proxy) answer
}

func provocations() []provocation {
	return []provocation{
		{word: "store", class: "store_unreachable", status: http.StatusServiceUnavailable, onRedis: true, provoke: func(e *env, proxy *faultproxy.Proxy) answer {
			id := e.begin()
			proxy.Set(faultproxy.Refuse())
			defer proxy.Heal()
			return e.ask(sending(id, "hello"))
		}},
		{word: "agent", class: "upstream_error", status: http.StatusBadGateway, provoke: func(e *env, _ *faultproxy.Proxy) answer {
			id := e.begin()
			e.agent.Misbehave("/status 500")
			defer e.agent.Misbehave("")
			return e.ask(sending(id, "hello"))
		}},
		{word: "caller", class: "not_found", status: http.StatusNotFound, provoke: func(e *env, _ *faultproxy.Proxy) answer {
			return e.ask(sending(nobody(), "hello"))
		}},
	}
}

// signalRules are each signal × each side that can fail.
func signalRules() []Rule {
	var all []Rule
	for _, p := range provocations() {
		signal := func(word string, claim claims.Claim, sentence string, find func(e *env, r *otlptest.Receiver, a answer) error) {
			all = append(all, Rule{
				ID: "signal." + word + "-" + p.word, Chapter: "signals", Sentence: fmt.Sprintf(sentence, p.class),
				Why:   "an operator has to find out which of the two broke, from whichever of the signals is at hand",
				How:   "the failure is provoked, and looked for in what the server exports over OTLP or prints",
				Needs: []claims.Claim{claim}, OnRedis: p.onRedis, Wired: true,
				check: func(e *env) { e.signal(p, find) },
			})
		}
		signal("span", claims.Spans, "the server span of %s has the class as error.type, in the trace that the answer names", spanOf(p))
		signal("metric", claims.Metrics, "http.server.request.duration counts %s in error.type", metricOf(p))
		signal("log", claims.Logs, "the log has a JSON line with the class %s and the trace that the answer names", logOf(p))
	}
	return all
}

// signal provokes a failure and looks for it until it is there.
func (e *env) signal(p provocation, find func(e *env, r *otlptest.Receiver, a answer) error) {
	receiver := otlptest.Start(e)
	e.wiring.OTLP = receiver.URL()
	var proxy *faultproxy.Proxy
	if p.onRedis {
		proxy = faultproxy.Start(e, e.s.Redis.Addr())
		e.wiring.RedisURL = matrix.Through(e.s.Redis, proxy)
	}
	e.start()
	a := p.provoke(e, proxy)
	e.refused(a, p.status, p.class)
	if a.TraceID == "" {
		e.broken("the answer names no trace: %s", a)
	}
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for began := time.Now(); ; <-tick.C {
		err := find(e, receiver, a)
		if err == nil {
			return
		}
		if time.Since(began) > e.within(exportTime) {
			e.broken("%v after %v", err, e.within(exportTime))
		}
	}
}

func spanOf(p provocation) func(*env, *otlptest.Receiver, answer) error {
	return func(_ *env, r *otlptest.Receiver, a answer) error {
		for _, s := range r.Spans() {
			if s.Kind == "SPAN_KIND_SERVER" && s.Trace == a.TraceID {
				if got := s.Attributes["error.type"]; got != p.class {
					return fmt.Errorf("the server span of the trace has the error.type %q", got)
				}
				return nil
			}
		}
		return fmt.Errorf("no server span of the trace %s came", a.TraceID)
	}
}

func metricOf(p provocation) func(*env, *otlptest.Receiver, answer) error {
	return func(_ *env, r *otlptest.Receiver, _ answer) error {
		for _, point := range r.Points() {
			if point.Metric == "http.server.request.duration" && point.Value > 0 && point.Attributes["error.type"] == p.class {
				return nil
			}
		}
		return fmt.Errorf("http.server.request.duration has not counted %s", p.class)
	}
}

func logOf(p provocation) func(*env, *otlptest.Receiver, answer) error {
	return func(e *env, _ *otlptest.Receiver, a answer) error {
		if e.instance.Log == nil {
			e.Skip("what the server prints cannot be read")
		}
		for line := range strings.Lines(e.instance.Log()) {
			var fields map[string]any
			if json.Unmarshal([]byte(line), &fields) == nil && has(fields, p.class) && has(fields, a.TraceID) {
				return nil
			}
		}
		return fmt.Errorf("no line of the log has both %s and %s", p.class, a.TraceID)
	}
}

// has reports whether a field of a line, of any depth, has that value.
func has(fields map[string]any, value string) bool {
	for _, v := range fields {
		switch v := v.(type) {
		case string:
			if v == value {
				return true
			}
		case map[string]any:
			if has(v, value) {
				return true
			}
		}
	}
	return false
}
