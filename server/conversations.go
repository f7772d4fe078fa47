package server

import (
	"encoding/json"
	"errors"
	"math"
	"net/http"
	"time"

	"parley/store"
)

// conversation is the body of one conversation.
type conversation struct {
	ID          string          `json:"conversationId"`
	Status      store.Status    `json:"status"`
	CreatedAt   string          `json:"createdAt"`
	UpdatedAt   string          `json:"updatedAt"`
	TurnCount   int             `json:"turnCount"`
	WorkflowID  string          `json:"workflowId,omitempty"`
	CurrentStep string          `json:"currentStep,omitempty"`
	StepData    json.RawMessage `json:"stepData,omitempty"`
	Metadata    json.RawMessage `json:"metadata,omitempty"`
	PendingTurn int             `json:"pendingTurn,omitempty"`
	Failures    []turnFailure   `json:"failures,omitempty"`
	// Messages is null-free: absent where they were not asked for, else a list.
	Messages *[]store.Message `json:"messages,omitempty"`
}

type turnFailure struct {
	Turn  int    `json:"turn"`
	Class string `json:"class"`
}

// listing is the body of a list.
type listing struct {
	Conversations []conversation `json:"conversations"`
	NextCursor    string         `json:"nextCursor,omitempty"`
	// Unreadable counts entries that are there and could not be decoded.
	Unreadable int `json:"unreadable,omitempty"`
}

func conversationOf(c store.Conversation) conversation {
	body := conversation{
		ID: c.ID, Status: c.Status, CreatedAt: isoTime(c.CreatedAt), UpdatedAt: isoTime(c.UpdatedAt),
		TurnCount: c.Turns, WorkflowID: c.Workflow.ID, CurrentStep: c.Workflow.CurrentStep,
		StepData: c.Workflow.StepData, Metadata: c.Workflow.Metadata, PendingTurn: c.PendingTurn,
	}
	for _, f := range c.Failures {
		body.Failures = append(body.Failures, turnFailure(f))
	}
	return body
}

// isoTime is ISO 8601 in UTC with milliseconds.
func isoTime(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z") }

func (s *Server) listConversations(w http.ResponseWriter, r *http.Request) error {
	params, err := query(r, "limit", "cursor")
	if err != nil {
		return err
	}
	page := store.Page{Limit: store.MaxPage, Cursor: params["cursor"]}
	if limit, ok := params["limit"]; ok {
		if page.Limit, err = number("limit", limit, 1, store.MaxPage); err != nil {
			return err
		}
	}
	x := of(r)
	var found store.Listing
	err = s.timed(&x.Store, func() error {
		found, err = s.cfg.Store.List(r.Context(), x.owner, page)
		return err
	})
	if errors.Is(err, store.ErrCursor) {
		return &requestError{kind: err, field: "cursor", detail: "cursor is not one that this list gave."}
	}
	if err != nil {
		return err
	}
	body := listing{Conversations: []conversation{}, NextCursor: found.NextCursor, Unreadable: found.Corrupt}
	for _, c := range found.Conversations {
		body.Conversations = append(body.Conversations, conversationOf(c))
	}
	return s.respond(w, r, http.StatusOK, body)
}

func (s *Server) getConversation(w http.ResponseWriter, r *http.Request) error {
	x, id, err := s.named(r)
	if err != nil {
		return err
	}
	params, err := query(r, "after")
	if err != nil {
		return err
	}
	after := -1
	if v, ok := params["after"]; ok {
		if after, err = number("after", v, 0, math.MaxInt32); err != nil {
			return err
		}
	}
	var c store.Conversation
	err = s.timed(&x.Store, func() error {
		c, err = s.cfg.Store.Conversation(r.Context(), x.owner, id, after)
		return err
	})
	if err != nil {
		return err
	}
	body := conversationOf(c)
	messages := append([]store.Message{}, c.Messages...)
	body.Messages = &messages
	return s.respond(w, r, http.StatusOK, body)
}

func (s *Server) patchConversation(w http.ResponseWriter, r *http.Request) error {
	x, id, err := s.named(r)
	if err != nil {
		return err
	}
	o, err := readObject(w, r, "status")
	if err != nil {
		return err
	}
	status, err := o.string("status")
	if err != nil {
		return err
	}
	if st := store.Status(status); st != store.StatusCompleted && st != store.StatusAbandoned {
		return invalid("status", "must be completed or abandoned")
	}
	var c store.Conversation
	err = s.timed(&x.Store, func() error {
		c, err = s.cfg.Store.SetStatus(r.Context(), x.owner, id, store.Status(status))
		return err
	})
	if err != nil {
		return err
	}
	return s.respond(w, r, http.StatusOK, conversationOf(c))
}

func (s *Server) deleteConversation(w http.ResponseWriter, r *http.Request) error {
	x, id, err := s.named(r)
	if err != nil {
		return err
	}
	err = s.timed(&x.Store, func() error { return s.cfg.Store.Delete(r.Context(), x.owner, id) })
	if err != nil {
		return err
	}
	s.timing(w, x)
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// timed runs f and adds its duration to sum.
func (s *Server) timed(sum *time.Duration, f func() error) error {
	began := s.cfg.Now()
	defer func() { *sum += s.cfg.Now().Sub(began) }()
	return f()
}

// named reads the id in the path. PathValue has decoded it, so it may hold
// anything; only a UUID goes on.
func (s *Server) named(r *http.Request) (*exchange, string, error) {
	x := of(r)
	id, err := conversationID(r.PathValue("id"))
	if err == nil {
		x.Conversation = id
	}
	return x, id, err
}
