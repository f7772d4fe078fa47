package server

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"testing/fstest"
	"testing/synctest"
	"time"
)

// unread is a writer whose client reads nothing until its time is over.
type unread struct {
	http.ResponseWriter
	once sync.Once
	cut  chan struct{}
}

func newUnread() *unread {
	return &unread{ResponseWriter: httptest.NewRecorder(), cut: make(chan struct{})}
}

func (u *unread) Write([]byte) (int, error) {
	<-u.cut
	return 0, errCutOff
}

func (u *unread) Flush() {}

func (u *unread) SetWriteDeadline(t time.Time) error {
	cut := func() { u.once.Do(func() { close(u.cut) }) }
	if t.Before(time.Now()) {
		cut()
		return nil
	}
	time.AfterFunc(time.Until(t), cut)
	return nil
}

// Thousands who read nothing hold no more places than there are, none for longer
// than the time of an answer, and keep nobody out.
func TestManyWhoReadNothing(t *testing.T) {
	for _, path := range []string{"/livez", "/health", "/openapi.yaml", "/index.html", "/nowhere.js", "/api/x", "/api/chat/start"} {
		synctest.Test(t, func(t *testing.T) {
			w := newHarness(t, nil, func(c *Config) {
				c.AuthRequired, c.Auth = true, nobody{}
				c.Static = fstest.MapFS{"index.html": {Data: bytes.Repeat([]byte("x"), 3*partSize)}}
			})
			serve := func(rw http.ResponseWriter) {
				defer func() {
					if v := recover(); v != nil && !errors.Is(v.(error), http.ErrAbortHandler) {
						panic(v)
					}
				}()
				w.server.ServeHTTP(rw, get(path).request(t.Context()))
			}
			began, last := time.Now(), make(chan time.Duration, 2000)
			for range 2000 {
				go func() {
					serve(newUnread())
					last <- time.Since(began)
				}()
			}
			synctest.Wait()
			if held := 2000 - len(last); held > burst*maxOpenRequests {
				t.Errorf("%s: %d are held", path, held)
			}
			rec := httptest.NewRecorder()
			serve(rec)
			if rec.Body.Len() == 0 || rec.Code == http.StatusTooManyRequests || time.Since(began) != 0 {
				t.Errorf("%s: one who reads gets %d after %v", path, rec.Code, time.Since(began))
			}
			for range 2000 {
				if took := <-last; took > answerTime {
					t.Fatalf("%s: held for %v", path, took)
				}
			}
		})
	}
}

// A file is open only while it is read from, whoever reads it and however slowly.
func TestFilesAreNotHeldOpen(t *testing.T) {
	big := bytes.Repeat([]byte("0123456789"), 50_000)
	files := &countedFS{MapFS: fstest.MapFS{"app.js": {Data: big}}}
	w := newHarness(t, nil, func(c *Config) { c.Static = files })
	rec := &openWatch{ResponseRecorder: httptest.NewRecorder(), files: files}
	w.server.ServeHTTP(rec, get("/app.js").request(t.Context()))
	if !bytes.Equal(rec.Body.Bytes(), big) {
		t.Errorf("%d bytes of %d", rec.Body.Len(), len(big))
	}
	if rec.most > 0 || rec.writes < 5 {
		t.Errorf("%d files were open while the client read, in %d parts", rec.most, rec.writes)
	}
}

// A file that is replaced while it is read is not served half and half.
func TestFileThatChanges(t *testing.T) {
	files := fstest.MapFS{"a": {Data: []byte("before"), ModTime: epoch}}
	f, err := openReread(files, "a")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Read(make([]byte, 3)); err != nil {
		t.Fatal(err)
	}
	files["a"] = &fstest.MapFile{Data: []byte("behind"), ModTime: epoch.Add(time.Second)}
	if b, err := io.ReadAll(f); !errors.Is(err, errChanged) {
		t.Errorf("%q, %v", b, err)
	}
}
