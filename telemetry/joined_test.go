package telemetry_test

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"parley/telemetry"
)

// A request that joined another's turn leads to it: what asked the store and the agent is
// in the trace of that one.
func TestJoinedRequestLeadsToTheOther(t *testing.T) {
	const other = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	for joined, want := range map[string]string{other: "0af7651916cd43dd8448eb211c80319c", "": "", "nonsense": ""} {
		l := newLab(t)
		h := l.Handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			l.Done(r.Context(), telemetry.Outcome{Status: 503, Class: "store_unreachable", JoinedSpan: joined})
		}))
		h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", http.NoBody))
		links := l.spans.Ended()[0].Links()
		if want == "" && len(links) != 0 || want != "" && (len(links) != 1 || links[0].SpanContext.TraceID().String() != want || links[0].SpanContext.SpanID().String() != "b7ad6b7169203331") {
			t.Errorf("%q: links %+v", joined, links)
		}
	}
}
