package apispec

import (
	"io"
	"iter"

	"github.com/tmaxmax/go-sse"
)

// maxEvent bounds one event of a stream, in bytes: more than any answer has.
const maxEvent = 64 << 20

// Events reads the server-sent events of a stream, with a reader that is not the
// service's own. It ends without an error where the stream ends.
func Events(stream io.Reader) iter.Seq2[sse.Event, error] {
	return sse.Read(stream, &sse.ReadConfig{MaxEventSize: maxEvent})
}
