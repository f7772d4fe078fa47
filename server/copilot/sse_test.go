package copilot

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
)

// recorded are streams as agents write them, and as they might.
const recorded = "../../testdata/sse"

// frames reads all events of a stream as "name=data".
func frames(src io.Reader, l Limits) ([]string, error) {
	r := newFrameReader(src, l)
	var all []string
	for {
		f, err := r.next()
		if err != nil {
			return all, err
		}
		all = append(all, f.name+"="+string(f.data))
	}
}

func limits() Limits { return Options{Transport: NewTransport()}.withDefaults().Limits }

func TestFrames(t *testing.T) {
	tests := []struct {
		name, in string
		want     []string
	}{
		{"nothing", "", nil},
		{"plain", "event: activity\ndata: {}\n\nevent: end\ndata: end\n\n", []string{"activity={}", "end=end"}},
		{"CRLF", "event: activity\r\ndata: {}\r\n\r\n", []string{"activity={}"}},
		{"CR", "event: activity\rdata: {}\r\r", []string{"activity={}"}},
		{"CR then LF", "event: activity\r\ndata: a\r\n\revent: activity\ndata: b\n\r\n", []string{"activity=a", "activity=b"}},
		{"BOM", "\xef\xbb\xbfevent: end\ndata: end\n\n", []string{"end=end"}},
		{"only one BOM", "\xef\xbb\xbf\xef\xbb\xbfevent: end\ndata: x\n\n", []string{"=x"}},
		{"BOM later", "\n\xef\xbb\xbfevent: end\ndata: x\n\n", []string{"=x"}},
		{"comments", ": a\n:\nevent: activity\n: b\ndata: x\n\n: c\n\n", []string{"activity=x"}},
		{"multi-line data", "event: activity\ndata: a\ndata: b\ndata:\ndata: c\n\n", []string{"activity=a\nb\n\nc"}},
		{"no space", "event:activity\ndata:x\n\n", []string{"activity=x"}},
		{"one space only", "event: activity\ndata:  x \n\n", []string{"activity= x "}},
		{"colons in data", "event: activity\ndata: a: b\n\n", []string{"activity=a: b"}},
		{"data first", "data: x\nevent: activity\n\n", []string{"activity=x"}},
		{"last name wins", "event: activity\nevent: end\ndata: x\n\n", []string{"end=x"}},
		{"bare data", "event: activity\ndata\n\n", []string{"activity="}},
		{"bare name", "event: activity\nevent\ndata: x\n\n", []string{"=x"}},
		{"unknown fields", "id: 1\nretry: 2\nfoo: 3\nfoo\nevent: activity\ndata: x\n\n", []string{"activity=x"}},
		{"case of fields", "Event: activity\nDATA: y\ndata: x\n\n", []string{"=x"}},
		{"case of names", "event: Activity\ndata: x\n\n", []string{"=x"}},
		{"name without data", "event: activity\n\ndata: x\n\n", []string{"=x"}},
		{"name is forgotten", "event: activity\ndata: a\n\ndata: b\n\n", []string{"activity=a", "=b"}},
		{"end without data", "event: end\n\n", []string{"end="}},
		{"error without data", "event: error\n\n", []string{"error="}},
		{"blank lines", "\n\n\r\r\n\nevent: end\n\n\n", []string{"end="}},
		{"half a frame", "event: end\ndata: end\n", nil},
		{"half a line", "event: end\ndata: end", nil},
		{"half a frame after one", "event: activity\ndata: a\n\ndata: b", []string{"activity=a"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for name, src := range readers(tt.in) {
				got, err := frames(src, limits())
				if !errors.Is(err, io.EOF) || !slices.Equal(got, tt.want) {
					t.Errorf("%s: frames = %q, %v, want %q", name, got, err, tt.want)
				}
			}
		})
	}
}

// readers give the same bytes in different lumps.
func readers(s string) map[string]io.Reader {
	return map[string]io.Reader{
		"at once":      strings.NewReader(s),
		"byte by byte": iotest.OneByteReader(strings.NewReader(s)),
		"with EOF":     iotest.DataErrReader(strings.NewReader(s)),
	}
}

func TestIsEnd(t *testing.T) {
	for in, want := range map[string]bool{
		"event: end\ndata: end\n\n": true, "event: end\n\n": true, "data: [DONE]\n\n": true,
		"event: activity\ndata: [DONE]\n\n": true, "event: message\ndata: [DONE]\n\n": true,
		"event: END\ndata: end\n\n": false, "data: end\n\n": false, "event: activity\ndata: x\n\n": false,
	} {
		f, err := newFrameReader(strings.NewReader(in), limits()).next()
		if err != nil || f.isEnd() != want {
			t.Errorf("%q: isEnd = %t, %v, want %t", in, f.isEnd(), err, want)
		}
	}
}

func TestFrameBounds(t *testing.T) {
	l := Limits{EventBytes: 100, StreamBytes: 1000, Events: 3}
	tests := []struct {
		name, in string
		frames   int
		want     error
	}{
		{"largest event", "data: " + strings.Repeat("x", 94) + "\n\n", 1, io.EOF},
		{"largest event in lines", strings.Repeat("data: x\n", 50) + "\n", 1, io.EOF},
		{"event too large", "data: " + strings.Repeat("x", 101) + "\n\n", 0, errEventTooLarge},
		{"event too large in lines", strings.Repeat("data: xxxx\n", 30) + "\n", 0, errEventTooLarge},
		{"line without end", strings.Repeat("x", 500), 0, errEventTooLarge},
		{"stream too large", strings.Repeat(":\n", 501), 0, errStreamTooLarge},
		{"as many events as may be", strings.Repeat("data: x\n\n", 3), 3, io.EOF},
		{"too many events", strings.Repeat("data: x\n\n", 4), 3, errTooManyEvents},
	}
	for _, tt := range tests {
		for name, src := range readers(tt.in) {
			if name == "at once" && tt.name == "line without end" {
				continue // found once the buffer is full
			}
			got, err := frames(src, l)
			if len(got) != tt.frames || !errors.Is(err, tt.want) {
				t.Errorf("%s, %s: %d frames, %v, want %d, %v", tt.name, name, len(got), err, tt.frames, tt.want)
			}
		}
	}
	t.Run("default", func(t *testing.T) {
		big := "event: activity\ndata: " + strings.Repeat("x", 7<<20) + "\n\n"
		got, err := frames(strings.NewReader(big), limits())
		if len(got) != 1 || !errors.Is(err, io.EOF) {
			t.Errorf("7 MiB: %d frames, %v", len(got), err)
		}
		if _, err := frames(strings.NewReader(big+"data: "+strings.Repeat("x", 9<<20)), limits()); !errors.Is(err, errEventTooLarge) {
			t.Errorf("9 MiB: %v", err)
		}
	})
}

func TestFramesPassErrorsOn(t *testing.T) {
	broken := errors.New("broken")
	src := io.MultiReader(strings.NewReader("data: a\n\ndata: b"), iotest.ErrReader(broken))
	if got, err := frames(src, limits()); len(got) != 1 || !errors.Is(err, broken) {
		t.Errorf("frames = %q, %v", got, err)
	}
	if _, err := frames(stuck{}, limits()); !errors.Is(err, io.ErrNoProgress) {
		t.Errorf("reader that gives nothing: %v", err)
	}
}

type stuck struct{}

func (stuck) Read([]byte) (int, error) { return 0, nil }

// TestFramesComeAtOnce: an event must not wait for the byte behind it.
func TestFramesComeAtOnce(t *testing.T) {
	for _, in := range []string{"data: x\n\n", "data: x\r\r", "data: x\r\n\r\n"} {
		src := io.MultiReader(strings.NewReader(in), iotest.ErrReader(errors.New("read too far")))
		if f, err := newFrameReader(src, limits()).next(); err != nil || string(f.data) != "x" {
			t.Errorf("%q: next = %q, %v", in, f.data, err)
		}
	}
}

func TestRecordedStreams(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(recorded, "*.sse"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no streams: %v", err)
	}
	events := map[string]int{}
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		whole, wholeErr := frames(bytes.NewReader(b), limits())
		slow, slowErr := frames(iotest.OneByteReader(bytes.NewReader(b)), limits())
		if !reflect.DeepEqual(whole, slow) || !errors.Is(wholeErr, io.EOF) || !errors.Is(slowErr, io.EOF) {
			t.Errorf("%s: at once %q, %v; byte by byte %q, %v", file, whole, wholeErr, slow, slowErr)
		}
		events[filepath.Base(file)] = len(whole)
	}
	for file, want := range map[string]int{
		"greeting.sse": 2, "crlf.sse": 2, "cr.sse": 2, "bom.sse": 2, "streamed.sse": 4, "half-frame.sse": 1, "empty.sse": 0,
	} {
		if events[file] != want {
			t.Errorf("%s: %d events, want %d", file, events[file], want)
		}
	}
}

// FuzzFrames: whatever comes, in whatever lumps, is read alike and ends in an
// error that the client knows.
func FuzzFrames(f *testing.F) {
	files, err := filepath.Glob(filepath.Join(recorded, "*.sse"))
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	l := Limits{EventBytes: 4 << 10, StreamBytes: 64 << 10, Events: 100}
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) > 3<<10 {
			t.Skip("lumps decide which bound is found first")
		}
		whole, wholeErr := frames(bytes.NewReader(b), l)
		slow, slowErr := frames(iotest.OneByteReader(bytes.NewReader(b)), l)
		if !reflect.DeepEqual(whole, slow) || !errors.Is(slowErr, wholeErr) {
			t.Fatalf("at once %q, %v; byte by byte %q, %v", whole, wholeErr, slow, slowErr)
		}
		if !errors.Is(wholeErr, io.EOF) && !errors.Is(wholeErr, errTooManyEvents) {
			t.Fatalf("unexpected error %v", wholeErr)
		}
		for _, frame := range whole {
			_, data, _ := strings.Cut(frame, "=")
			if a, err := decodeActivity([]byte(data)); err == nil {
				a.message()
			}
		}
	})
}

// BenchmarkFrames is the reader alone. What it allocates must not grow with the
// number of events.
func BenchmarkFrames(b *testing.B) {
	in := strings.Repeat("event: activity\ndata: "+strings.Repeat("x", 500)+"\n\n", 1000)
	b.SetBytes(int64(len(in)))
	b.ReportAllocs()
	for b.Loop() {
		r := newFrameReader(strings.NewReader(in), Limits{EventBytes: 1 << 20, StreamBytes: 1 << 30, Events: 1 << 20})
		for {
			if _, err := r.next(); err != nil {
				break
			}
		}
	}
}
