package provider

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"
)

// Metrics are written once a second for all who ask alike, and a failure is not kept.
func TestScrapes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		written, broken := 0, false
		s := &scrapes{next: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			written++
			w.Header().Set("Content-Type", r.Header.Get("Accept"))
			if broken {
				w.WriteHeader(http.StatusInternalServerError)
			}
			_, _ = fmt.Fprint(w, written)
		})}
		scraped := func(what, accept, want string, status int) {
			t.Helper()
			r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/metrics", nil)
			r.Header.Set("Accept", accept)
			w := httptest.NewRecorder()
			s.ServeHTTP(w, r)
			if w.Body.String() != want || w.Code != status || w.Header().Get("Content-Type") != accept {
				t.Errorf("%s: %d %q of %s, want %d %q", what, w.Code, w.Body, w.Header(), status, want)
			}
		}
		scraped("the first", "text/a", "1", http.StatusOK)
		scraped("at once", "text/a", "1", http.StatusOK)
		time.Sleep(scrapeAge - time.Millisecond)
		scraped("within a second", "text/a", "1", http.StatusOK)
		scraped("another form", "text/b", "2", http.StatusOK)
		time.Sleep(scrapeAge)
		scraped("after a second", "text/b", "3", http.StatusOK)
		time.Sleep(scrapeAge)
		broken = true
		scraped("a failure", "text/b", "4", http.StatusInternalServerError)
		broken = false
		scraped("after a failure", "text/b", "5", http.StatusOK)
	})
}
