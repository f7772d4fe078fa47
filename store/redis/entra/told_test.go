package entra

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"parley/store"
)

type fetching struct{}

// Whatever the method, every fetch is told with its end, and every request of it goes
// through what observes, with the fetch's own context.
func TestFetchesAreTold(t *testing.T) {
	for _, m := range []Method{ManagedIdentity, WorkloadIdentity, ClientSecret} {
		t.Run(string(m), func(t *testing.T) {
			i := newIssuer(t)
			var mu sync.Mutex
			var ends, asked []string
			ended := make(chan struct{}, 8)
			o := i.options(t, m)
			o.Fetch = func(ctx context.Context) (context.Context, func(error)) {
				return context.WithValue(ctx, fetching{}, true), func(err error) {
					mu.Lock()
					defer mu.Unlock()
					end := "well"
					if e, ok := errors.AsType[*store.Error](err); ok {
						end = e.Kind.Error()
					}
					ends = append(ends, end)
					ended <- struct{}{}
				}
			}
			o.Observed = func(next http.RoundTripper) http.RoundTripper {
				return observer(func(r *http.Request) (*http.Response, error) {
					mu.Lock()
					asked = append(asked, fmt.Sprint(r.URL.Path, " ", r.Context().Value(fetching{})))
					mu.Unlock()
					return next.RoundTrip(r)
				})
			}
			i.breaks(says(http.StatusInternalServerError, "", ""))
			s, err := New(o)
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			await := func() {
				select {
				case <-ended:
				case <-time.After(10 * time.Second):
					t.Fatal("no fetch ended within 10 s")
				}
			}
			await()
			i.breaks(nil)
			for {
				await()
				mu.Lock()
				last := ends[len(ends)-1]
				mu.Unlock()
				if last == "well" {
					break
				}
			}
			mu.Lock()
			defer mu.Unlock()
			if ends[0] != store.ErrCredentials.Error() {
				t.Errorf("ended %q", ends)
			}
			for _, a := range asked {
				if !strings.HasSuffix(a, " true") {
					t.Errorf("asked for %s outside of a fetch", a)
				}
			}
			if len(asked) < len(ends) {
				t.Errorf("%d requests of %d fetches were observed", len(asked), len(ends))
			}
		})
	}
}

type observer func(*http.Request) (*http.Response, error)

func (f observer) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }
