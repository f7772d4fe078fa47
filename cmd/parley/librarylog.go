package main

import (
	"bytes"
	"context"
	"log/slog"
)

// libraryLog takes what libraries write to Go's standard logger, which would write to
// standard error itself and wait for it. The client of net/http quotes what a server
// sent, so only the place in the library's code is logged. It expects lines that
// begin with it (log.Lshortfile).
type libraryLog struct{ log *slog.Logger }

// Write implements io.Writer. It always succeeds.
func (l libraryLog) Write(p []byte) (int, error) {
	place, _, _ := bytes.Cut(p, []byte(": "))
	l.log.LogAttrs(context.Background(), slog.LevelWarn, "a library reported a problem", slog.String("place", string(place)))
	return len(p), nil
}
