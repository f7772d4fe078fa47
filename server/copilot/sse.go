package copilot

import (
	"bytes"
	"errors"
	"io"
)

// Why a stream cannot be read on.
var (
	errEventTooLarge  = errors.New("event too large")
	errStreamTooLarge = errors.New("stream too large")
	errTooManyEvents  = errors.New("too many events")
)

// frame is one server-sent event.
type frame struct {
	name string
	data []byte // valid until the next call of next
}

// Names of events that mean something. They are compared as they are written.
const (
	eventActivity = "activity"
	eventEnd      = "end"
	eventError    = "error"
)

// isEnd reports whether the frame finishes the turn. Some agents write the
// marker that other streaming APIs use, under whatever name.
func (f frame) isEnd() bool { return f.name == eventEnd || string(f.data) == "[DONE]" }

// frameReader cuts a stream into events by the rules of the WHATWG
// specification, with two exceptions: "end" and "error" count even when they
// have no data, since a turn that never ends is worse. A frame that the stream
// does not finish with a blank line is never returned.
//
// It grows its buffer as needed: single activities of more than half a megabyte
// are seen in practice.
type frameReader struct {
	src    io.Reader
	limits Limits

	buf        []byte // what was read and not yet consumed is buf[start:end]
	start, end int
	total      int64
	frames     int
	err        error // of src, once buf is used up

	begun  bool // the first line has been read
	skipLF bool // the line before ended in CR, which may be half of a CRLF

	name    string
	data    []byte
	hasData bool
}

const firstBuffer = 1 << 10

func newFrameReader(src io.Reader, l Limits) *frameReader {
	return &frameReader{src: src, limits: l}
}

// next returns the next event. io.EOF means that the stream is over.
func (r *frameReader) next() (frame, error) {
	r.data, r.hasData, r.name = r.data[:0], false, ""
	for {
		line, err := r.line()
		if err != nil {
			return frame{}, err
		}
		if len(line) > 0 {
			if err := r.field(line); err != nil {
				return frame{}, err
			}
			continue
		}
		if !r.hasData && r.name != eventEnd && r.name != eventError {
			r.name = ""
			continue
		}
		r.frames++
		if r.frames > r.limits.Events {
			return frame{}, errTooManyEvents
		}
		return frame{name: r.name, data: r.data}, nil
	}
}

// field takes in one line of a frame.
func (r *frameReader) field(line []byte) error {
	field, value, _ := bytes.Cut(line, []byte{':'})
	value = bytes.TrimPrefix(value, []byte{' '})
	switch string(field) {
	case "event":
		r.name = eventName(value)
	case "data":
		if len(r.data)+len(value) > r.limits.EventBytes {
			return errEventTooLarge
		}
		if r.hasData {
			r.data = append(r.data, '\n')
		}
		r.data, r.hasData = append(r.data, value...), true
	}
	// Everything else is ignored: id and retry, which would lead to a second
	// request, fields that nobody knows, and comments, whose field name is empty.
	return nil
}

// eventName is the name as a string, without allocating for the usual ones.
func eventName(b []byte) string {
	switch string(b) {
	case eventActivity:
		return eventActivity
	case eventEnd:
		return eventEnd
	case eventError:
		return eventError
	}
	return "" // all others are ignored like the unnamed
}

// line returns the next line without its end. A line that the stream does not
// end is dropped.
func (r *frameReader) line() ([]byte, error) {
	seen := 0 // so much of buf[start:end] has no end of line in it
	for {
		if r.skipLF && r.start < r.end {
			if r.buf[r.start] == '\n' {
				r.start++
			}
			r.skipLF = false
		}
		if i := indexEOL(r.buf[r.start+seen : r.end]); i >= 0 {
			line := r.buf[r.start : r.start+seen+i]
			// A CR ends the line at once. Waiting for the byte behind it would
			// hold back the last event of a silent stream.
			r.skipLF = r.buf[r.start+seen+i] == '\r'
			r.start += seen + i + 1
			if !r.begun {
				r.begun = true
				line = bytes.TrimPrefix(line, []byte("\xef\xbb\xbf"))
			}
			return line, nil
		}
		seen = r.end - r.start
		if seen > r.limits.EventBytes {
			return nil, errEventTooLarge
		}
		if err := r.fill(); err != nil {
			return nil, err
		}
	}
}

// indexEOL finds the first CR or LF.
func indexEOL(b []byte) int {
	lf := bytes.IndexByte(b, '\n')
	if lf >= 0 {
		b = b[:lf]
	}
	if cr := bytes.IndexByte(b, '\r'); cr >= 0 {
		return cr
	}
	return lf
}

// maxEmptyReads is how often in a row a reader may give nothing.
const maxEmptyReads = 100

// fill reads more, making room first.
func (r *frameReader) fill() error {
	switch {
	case r.err != nil:
		return r.err
	case r.buf == nil:
		r.buf = make([]byte, firstBuffer)
	case r.start == r.end:
		r.start, r.end = 0, 0
	case r.end == len(r.buf) && r.start > 0:
		r.end = copy(r.buf, r.buf[r.start:r.end])
		r.start = 0
	case r.end == len(r.buf):
		r.buf = append(r.buf, make([]byte, len(r.buf))...)
	}
	for range maxEmptyReads {
		n, err := r.src.Read(r.buf[r.end:])
		r.end += n
		r.total += int64(n)
		if r.total > r.limits.StreamBytes {
			r.err = errStreamTooLarge
			return r.err
		}
		r.err = err
		if n > 0 {
			return nil
		}
		if err != nil {
			return err
		}
	}
	r.err = io.ErrNoProgress
	return r.err
}
