package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"parley/server/turn"
	"parley/store"
)

// done reports a finished request: one log line, one call of OnDone.
func (a *adapter) done(w *responseWriter, r *http.Request, err error) {
	x := of(r)
	d := Done{
		Method: r.Method, Route: x.route, API: !x.aside, Turn: x.isTurn, Status: w.status, Duration: a.cfg.Now().Sub(x.began),
		Conversation: x.Conversation, TraceID: x.traceID(), RequestID: x.requestID,
		Replayed: x.Replayed, Streamed: x.streamed, Joined: x.Joined, JoinedSpan: x.JoinedSpan, Restarted: x.Restarted, AgentError: x.AgentError,
	}
	if x.owner != (store.Owner{}) {
		d.OwnerHash = a.cfg.OwnerHash(x.owner)
	}
	level, lacks, logged := slog.LevelInfo, "", w.status
	switch {
	case err != nil:
		f := failureOf(r, err)
		d.Class, d.Reason, d.Stage, level = f.Class, reasonOf(err), x.Stage, f.Level
		if lacksDescriptors(err) {
			lacks = "this process can open no more files: raise its limit of open files, or lower MAX_CONNECTIONS and MAX_TURNS"
		}
		if logged == 0 {
			logged = f.Status // of a client that left, which was sent none
		}
	case x.AgentError != "":
		d.Class, d.Stage, level = classAgentError, turn.StageUpstream, rowOf(classAgentError).Level
	}
	attrs := append(make([]slog.Attr, 0, 16), // room for most
		slog.String("method", wellKnown(d.Method)), slog.String("route", d.Route), slog.Int("status", logged),
		slog.String("class", d.Class), slog.String("stage", string(d.Stage)), slog.Float64("duration_ms", millis(d.Duration)),
		slog.String("request_id", x.requestID), slog.String("trace_id", d.TraceID),
	)
	if d.Conversation != "" {
		attrs = append(attrs, slog.String("conversation_id", d.Conversation))
	}
	if d.OwnerHash != "" {
		attrs = append(attrs, slog.String("owner_hash", d.OwnerHash))
	}
	if d.Reason != "" {
		// All that is said of who showed a bad token, or of a bad request: a fixed word.
		// The rest may be made up.
		attrs = append(attrs, slog.String("reason", string(d.Reason)))
	}
	if e, ok := errors.AsType[*store.Error](err); ok && e.BreakerOpen {
		attrs = append(attrs, slog.String("breaker", "open")) // Redis was not asked
	}
	if d.Streamed {
		// Explains a status of 200 beside a failure class.
		attrs = append(attrs, slog.Bool("streamed", true), slog.Bool("joined", d.Joined))
	}
	if d.AgentError != "" {
		attrs = append(attrs, slog.String("agent_error_code", d.AgentError))
	}
	if lacks != "" {
		attrs = append(attrs, slog.String("lacks", lacks))
	}
	if level > slog.LevelInfo && err != nil {
		attrs = append(attrs, slog.String("error", safeText(err, d.Class)))
	}
	attrs = append(attrs, turn.Exception(err)...)
	a.line(r.Context(), level, attrs)
	a.cfg.OnDone(r.Context(), d)
}

// line writes the line of a request. Unlike slog.Logger, it does not look up what called
// it: that takes a fifth of the time, and no line says it.
func (a *adapter) line(ctx context.Context, level slog.Level, attrs []slog.Attr) {
	h := a.cfg.Log.Handler()
	if !h.Enabled(ctx, level) {
		return
	}
	line := slog.NewRecord(time.Now(), level, "request", 0)
	line.AddAttrs(attrs...)
	_ = h.Handle(ctx, line) // as slog.Logger: nobody could be told
}

// safeText is the part of an error that may be logged. Errors that have a row
// contain no user data. An unforeseen one may quote what a user wrote, so only its
// types are logged.
func safeText(err error, class string) string {
	if class != classInternal {
		return err.Error()
	}
	types := fmt.Sprintf("%T", err)
	for err = errors.Unwrap(err); err != nil; err = errors.Unwrap(err) {
		types += fmt.Sprintf(" of %T", err)
	}
	return types
}

// wellKnown is the method for the log; one that a caller made up is not logged.
func wellKnown(method string) string {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch,
		http.MethodDelete, http.MethodOptions, http.MethodConnect, http.MethodTrace:
		return method
	}
	return "_OTHER"
}
