package apispec

import (
	"bytes"
	"errors"
	"io"
	"mime"
	"net/http"
)

// maxRest bounds what is read of an answer whose reader stopped before its end.
const maxRest = 1 << 20

// Transport passes requests to next and reports every exchange that is not what
// the document says. An answer is checked once it has been read or closed; one
// whose connection broke is not.
func (d *Document) Transport(next http.RoundTripper, report func(error)) http.RoundTripper {
	return &transport{d, next, report}
}

type transport struct {
	document *Document
	next     http.RoundTripper
	report   func(error)
}

func (t *transport) RoundTrip(r *http.Request) (*http.Response, error) {
	var sent []byte
	if r.Body != nil {
		var err error
		if sent, err = io.ReadAll(r.Body); err != nil {
			return nil, err
		}
		if err := r.Body.Close(); err != nil {
			return nil, err
		}
		again := r.Clone(r.Context())
		again.Body = io.NopCloser(bytes.NewReader(sent))
		r = again
	}
	answer, err := t.next.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	answer.Body = &checkedBody{ReadCloser: answer.Body, check: func(body []byte) {
		if err := t.document.Check(Exchange{Request: r, Sent: sent, Status: answer.StatusCode, Header: answer.Header, Body: body}); err != nil {
			t.report(err)
		}
	}, stream: isStream(answer.Header)}
	return answer, nil
}

func isStream(h http.Header) bool {
	media, _, err := mime.ParseMediaType(h.Get("Content-Type"))
	return err == nil && media == eventStream
}

// checkedBody keeps what is read of an answer, and checks it once.
type checkedBody struct {
	io.ReadCloser
	kept    bytes.Buffer
	stream  bool
	check   func([]byte)
	checked bool
}

func (b *checkedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.kept.Write(p[:n])
	switch {
	case errors.Is(err, io.EOF):
		b.done()
	case err != nil:
		b.checked = true // broken: there is no answer to check
	}
	return n, err
}

// Close reads the rest of an answer first, because decoders stop at the end of
// the value. Of a stream, which may not end, what was read is checked.
func (b *checkedBody) Close() error {
	if !b.checked && !b.stream {
		_, _ = io.CopyN(io.Discard, b, maxRest)
	}
	if !b.checked && b.stream {
		b.done()
	}
	return b.ReadCloser.Close()
}

func (b *checkedBody) done() {
	if b.checked {
		return
	}
	b.checked = true
	b.check(b.kept.Bytes())
}
