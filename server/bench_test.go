package server

import (
	"bytes"
	"context"
	"io"
	"iter"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"

	"parley/server/copilot"
	"parley/store/memory"
)

// keptAnswer is an http.ResponseWriter that is used again, so that what a benchmark
// counts is the server's.
type keptAnswer struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (a *keptAnswer) Header() http.Header         { return a.header }
func (a *keptAnswer) WriteHeader(status int)      { a.status = status }
func (a *keptAnswer) Write(b []byte) (int, error) { return a.body.Write(b) }

// BenchmarkSend is a turn without network: the server, a store in memory and an agent
// that says one thing, with the log's lines encoded.
func BenchmarkSend(b *testing.B) {
	agent := &fakeAgent{turn: func(_ context.Context, t copilot.Turn) iter.Seq2[copilot.Event, error] {
		return func(yield func(copilot.Event, error) bool) {
			_ = yield(conversationEvent(t), nil) && yield(messageEvent(copilot.Message{Text: "You said hello there, and this is what there is to say about it."}), nil)
		}
	}}
	kept := memory.New(memory.Options{})
	s, err := New(Config{
		Agent: agent, Store: kept, Health: NewHealth(HealthConfig{Backend: "memory", Ping: kept.Ping}),
		Log: slog.New(slog.NewJSONHandler(io.Discard, nil)), //nolint:sloglint // unlike DiscardHandler, it encodes the lines
	})
	if err != nil {
		b.Fatal(err)
	}
	started := httptest.NewRecorder()
	s.ServeHTTP(started, post("/api/chat/start", "{}").request(b.Context()))
	id := field[string](b, started, "conversationId")
	for _, c := range []struct {
		name string
		call call
	}{
		{"send", send(id, "hello there")},
		{"card-action", post("/api/chat/card-action", `{"conversationId":"`+id+`","cardId":"order","userSummary":"two desks","submitData":{"action":"Action.Submit","quantity":2}}`)},
	} {
		b.Run(c.name, func(b *testing.B) {
			r, answer, body := c.call.request(b.Context()), &keptAnswer{header: http.Header{}}, bytes.NewReader([]byte(c.call.Body))
			r.Body = io.NopCloser(body)
			b.ReportAllocs()
			for b.Loop() {
				body.Reset([]byte(c.call.Body))
				clear(answer.header)
				answer.body.Reset()
				s.ServeHTTP(answer, r)
				if answer.status != http.StatusOK {
					b.Fatalf("%d %s", answer.status, &answer.body)
				}
			}
		})
	}
}
