package server

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"parley/server/copilot"
	"parley/store"
)

// fakeStudio answers every request with the activities a test wants, in the
// protocol's own form.
type fakeStudio struct {
	mu         sync.Mutex
	activities []string
	bodies     []string
}

func (s *fakeStudio) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.bodies = append(s.bodies, string(body))
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("X-Ms-Conversationid", "7a0c2c52-7b5e-4f0d-8a3c-0c9b5f4de001")
	for _, a := range s.activities {
		_, _ = fmt.Fprintf(w, "event: activity\ndata: %s\n\n", a)
	}
	_, _ = io.WriteString(w, "event: end\ndata: end\n\n")
}

// TestBehindTheRealClient goes the whole way from an activity on the wire to an
// answer of the API.
func TestBehindTheRealClient(t *testing.T) {
	const from = `"from":{"id":"bot-1","role":"bot"},"conversation":{"id":"7a0c2c52-7b5e-4f0d-8a3c-0c9b5f4de001"}`
	upstream := &fakeStudio{activities: []string{`{"type":"message","id":"hello",` + from + `,"text":"Hello."}`}}
	srv := httptest.NewServer(upstream)
	defer srv.Close()
	client, err := copilot.NewClient(copilot.Options{
		Endpoint: copilot.Endpoint{DirectConnectURL: srv.URL + "/copilotstudio/x/conversations?api-version=2022-03-01-preview"},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer client.CloseIdleConnections()
	w := newHarness(t, nil, func(c *Config) { c.Agent = client })
	id := w.start()

	turn := func(activities ...string) []store.Message {
		t.Helper()
		upstream.mu.Lock()
		upstream.activities = activities
		upstream.mu.Unlock()
		body := strings.Replace(cardBody, "ID", id, 1)
		return field[[]store.Message](t, w.must(200, post("/api/chat/card-action", body)), "messages")
	}

	got := turn(
		`{"type":"typing","id":"typing-1",`+from+`}`,
		`{"type":"message","id":"a1",`+from+`,"text":"Eleven days [1].","entities":[{"type":"streaminfo","streamType":"final"},{"type":"https://schema.org/Message","citation":[{"position":1}]}]}`,
		`{"type":"message","id":"a2",`+from+`,"attachments":[{"contentType":"`+adaptiveCard+`","content":{"type":"AdaptiveCard"}}],"value":{"permit":7}}`,
		`{"type":"message","id":"a3",`+from+`,"text":"In the north.","entities":[{"type":"place","district":"north"}]}`,
		`{"type":"event","id":"e1","name":"x",`+from+`,"value":{"no":"data"}}`,
	)
	if len(got) != 3 || got[0].ExtractedPayload != nil || got[1].CardID != "a2" || got[1].Kind != store.KindCard ||
		got[1].ExtractedPayload.Source != "value" || string(got[2].ExtractedPayload.Data) != `{"district":"north"}` {
		t.Errorf("%+v", got)
	}
	var sent struct {
		Activity struct {
			Text  string
			Value map[string]string
		}
	}
	if err := json.Unmarshal([]byte(upstream.bodies[1]), &sent); err != nil || sent.Activity.Text != "Applied in March" || sent.Activity.Value["cardId"] != "card-1" {
		t.Errorf("the agent was sent %s", upstream.bodies[1])
	}

	got = turn(`{"type":"message","id":"a4",`+from+`,"text":"Sorry, something went wrong. Error code: SystemError."}`,
		`{"type":"endOfConversation","id":"z",`+from+`}`)
	if len(got) != 1 || got[0].AgentError != "SystemError" || w.lastDone().Class != classAgentError {
		t.Errorf("%+v, done %+v", got, w.lastDone())
	}
	if c := w.history(id); c.Status != store.StatusCompleted {
		t.Errorf("status %s", c.Status)
	}
}
