//go:build linux

package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"
)

// sinkWord on the command line makes this program the sink.
const sinkWord = "sink"

// serveSink swallows what is exported to it over OTLP/HTTP until ctx is done. It is a
// process of its own, because what a collector costs is not what telemetry costs.
func serveSink(ctx context.Context, stdout io.Writer) error {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	web := &http.Server{ReadHeaderTimeout: 10 * time.Second, Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
	})}
	defer context.AfterFunc(ctx, func() { _ = web.Close() })()
	fmt.Fprintf(stdout, "sink is listening on http://%s\n", l.Addr())
	if err := web.Serve(l); ctx.Err() == nil {
		return err
	}
	return nil
}
