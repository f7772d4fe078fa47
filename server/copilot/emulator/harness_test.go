package emulator_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"parley/server/copilot/emulator"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const version = "?api-version=2022-03-01-preview"

// reply is a response read to its end.
type reply struct {
	status int
	header http.Header
	body   string
	cut    bool
}

// activities are the data lines of events named activity.
func (r reply) activities(t *testing.T) []map[string]any {
	t.Helper()
	var all []map[string]any
	for block := range strings.SplitSeq(r.body, "\n\n") {
		data, ok := strings.CutPrefix(block, "event: activity\ndata: ")
		if !ok {
			continue
		}
		var a map[string]any
		if err := json.Unmarshal([]byte(data), &a); err != nil {
			t.Fatalf("activity %q: %v", data, err)
		}
		all = append(all, a)
	}
	return all
}

func (r reply) text(t *testing.T) string {
	t.Helper()
	for _, a := range r.activities(t) {
		if s, ok := a["text"].(string); ok {
			return s
		}
	}
	return ""
}

func (r reply) id() string { return r.header.Get("x-ms-conversationid") }

// tester speaks raw HTTP to an emulator.
type tester struct {
	*emulator.Emulator
	t      *testing.T
	srv    *httptest.Server
	header map[string]string
}

func serve(t *testing.T, o emulator.Options) *tester {
	t.Helper()
	e := emulator.New(o)
	srv := httptest.NewServer(e)
	t.Cleanup(srv.Close)
	return &tester{Emulator: e, t: t, srv: srv, header: map[string]string{"Accept": "text/event-stream", "Authorization": "Bearer x"}}
}

func (s *tester) do(method, path, body string) reply {
	s.t.Helper()
	req, err := http.NewRequestWithContext(s.t.Context(), method, s.srv.URL+path, strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	for k, v := range s.header {
		req.Header.Set(k, v)
	}
	resp, err := s.srv.Client().Transport.RoundTrip(req)
	if err != nil {
		return reply{cut: true}
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(resp.Body)
	return reply{resp.StatusCode, resp.Header, string(b), err != nil}
}

func (s *tester) post(path, body string) reply {
	s.t.Helper()
	return s.do(http.MethodPost, path, body)
}

func (s *tester) start() string {
	s.t.Helper()
	return s.post("/any/base/conversations"+version, `{"emitStartConversationEvent":false}`).id()
}

func (s *tester) say(id, text string) reply {
	s.t.Helper()
	b, _ := json.Marshal(text)
	return s.post("/any/base/conversations/"+id+version, fmt.Sprintf(`{"activity":{"type":"message","text":%s}}`, b))
}
