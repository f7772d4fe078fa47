package main

import (
	"context"
	"net/http"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// A panic, wherever in a request, leaves one log record with the attributes from which a
// backend makes an exception, in the trace of the request, and nothing of its text.
func TestPanicIsAnException(t *testing.T) {
	const text = "at the disco"
	for name, c := range map[string]struct {
		change change
		ask    func(w *watched)
	}{
		"before the agent is asked": {ask: func(w *watched) {
			w.store.begin = func(context.Context) error { panic(text) }
			start(w)
		}},
		"when the answer is stored": {ask: func(w *watched) {
			id := w.start()
			w.store.complete = func(context.Context) error { panic(text) }
			w.send(id, "hello")
		}},
		"in a stream": {ask: func(w *watched) {
			id := w.start()
			w.store.complete = func(context.Context) error { panic(text) }
			w.ask("POST", "/api/chat/send", `{"conversationId":"`+id+`","text":"hello"}`, "Accept", "text/event-stream")
		}},
		"outside of the adapter": {
			change: func(_ *config, with *seams) {
				with.api = func(http.Handler) http.Handler {
					return http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(text) })
				}
			},
			ask: func(w *watched) {
				if _, err := w.do(w.t.Context(), "GET", "/livez", ""); err == nil {
					w.t.Error("the connection was not cut")
				}
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := watch(t, "http/protobuf", c.change)
			c.ask(w)
			w.end()
			trace := ""
			for _, s := range w.collector.server() {
				if s.attrs["parley.outcome"] == "panic" {
					trace = s.trace
				}
			}
			var found []line
			for _, l := range w.collector.logs {
				if l.attrs["exception.type"] != "" {
					found = append(found, l)
				}
			}
			if len(found) != 1 || trace == "" || found[0].trace != trace || found[0].attrs["exception.type"] != "string" || found[0].attrs["exception.message"] == "" ||
				!strings.Contains(found[0].attrs["exception.stacktrace"], "exception_test.go") {
				t.Errorf("in trace %s: %+v", trace, found)
			}
			if strings.Contains(w.log.String(), text) || strings.Contains(string(w.collector.raw), text) {
				t.Errorf("the text is told: %s", w.log)
			}
		})
	}
}

// The Collector as configured makes entries of the table exceptions from such records.
func TestCollectorKeepsExceptions(t *testing.T) {
	var file struct {
		Exporters map[string]map[string]any
	}
	if err := yaml.Unmarshal([]byte(readTelemetry(t, "collector.yaml")), &file); err != nil {
		t.Fatal(err)
	}
	found := 0
	for name, exporter := range file.Exporters {
		if kind, _, _ := strings.Cut(name, "/"); strings.ReplaceAll(kind, "_", "") != "azuremonitor" {
			continue
		}
		found++
		if exporter["exception_events_enabled"] != true {
			t.Errorf("%s: %v", name, exporter)
		}
	}
	if found == 0 {
		t.Error("nothing goes to Azure Monitor")
	}
}
