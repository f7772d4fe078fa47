package provider

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// Metrics are written once for all who ask alike and wait, one at a time, and anew for
// who asks after that.
func TestScrapes(t *testing.T) {
	const takes = time.Millisecond
	synctest.Test(t, func(t *testing.T) {
		written, writing := 0, 0
		s := newScrapes(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if writing++; writing > 1 {
				t.Error("two are written at once")
			}
			written++
			time.Sleep(takes)
			w.Header().Set("Content-Type", r.Header.Get("Accept"))
			w.WriteHeader(http.StatusAccepted)
			_, _ = fmt.Fprint(w, written)
			writing--
		}))
		scrape := func(ctx context.Context, accept string) *httptest.ResponseRecorder {
			r := httptest.NewRequestWithContext(ctx, http.MethodGet, "/metrics", nil)
			r.Header.Set("Accept", accept)
			w := httptest.NewRecorder()
			s.ServeHTTP(w, r)
			return w
		}
		// One for the first and one for all who came while that was written; then one,
		// because the first waits for the pause and the others come meanwhile.
		for _, want := range [][]string{{"1", "2"}, {"3"}} {
			var asking sync.WaitGroup
			got := make([]*httptest.ResponseRecorder, 100)
			for i := range got {
				asking.Go(func() { got[i] = scrape(t.Context(), "text/a") })
			}
			asking.Wait()
			for _, w := range got {
				if w.Code != http.StatusAccepted || w.Header().Get("Content-Type") != "text/a" || !slices.Contains(want, w.Body.String()) {
					t.Errorf("%d %v %s, want one of %q", w.Code, w.Header(), w.Body, want)
				}
			}
		}
		for n, accept := range []string{"text/a", "text/a", "text/b"} {
			began := time.Now()
			w := scrape(t.Context(), accept)
			if took := time.Since(began); took > scrapePause+takes {
				t.Errorf("number %d after that took %v", n, took)
			}
			if w.Body.String() != fmt.Sprint(4+n) || w.Header().Get("Content-Type") != accept {
				t.Errorf("after that, number %d: %v %s", n, w.Header(), w.Body)
			}
		}
		// A caller who asks in ever another way has nothing written more often.
		began, before := time.Now(), written
		for n := range 20 {
			scrape(t.Context(), fmt.Sprint("text/", n))
		}
		if most := int(time.Since(began)/scrapePause) + 1; written-before > most {
			t.Errorf("%d were written in %v", written-before, time.Since(began))
		}
		s.turn <- struct{}{}
		ctx, leave := context.WithCancel(t.Context())
		leave()
		if w := scrape(ctx, "text/a"); w.Body.Len() > 0 {
			t.Error("who left gets an answer")
		}
	})
}
