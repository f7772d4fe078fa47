package server

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"net/http"
	"time"

	"parley/server/turn"
	"parley/store"
	"parley/store/fair"
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
	// Messages is absent if they were not asked for, else a list, never null.
	Messages *[]store.Message `json:"messages,omitempty"`
	// Earlier is the turn before which there is more, Later that after which there is;
	// absent if there is none.
	Earlier *int `json:"earlier,omitempty"`
	Later   *int `json:"later,omitempty"`
}

type turnFailure struct {
	Turn  int    `json:"turn"`
	Class string `json:"class"`
}

// listing is the body of a list.
type listing struct {
	Conversations []conversation `json:"conversations"`
	NextCursor    string         `json:"nextCursor,omitempty"`
	// Unreadable counts entries that could not be decoded.
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

// conversationRoutes are the routes that read and change what is stored, without
// a turn.
type conversationRoutes struct {
	store store.Store
	large *fair.Places
	now   func() time.Time
}

func (c *conversationRoutes) list(w http.ResponseWriter, r *http.Request) error {
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
	err = c.timed(&x.Store, func() error {
		found, err = c.store.List(r.Context(), x.owner, page)
		return err
	})
	if errors.Is(err, store.ErrCursor) {
		return &requestError{kind: err, reason: reasonCursor, field: "cursor", detail: "cursor is not one that this list gave."}
	}
	if err != nil {
		return err
	}
	body := listing{Conversations: []conversation{}, NextCursor: found.NextCursor, Unreadable: found.Corrupt}
	for _, each := range found.Conversations {
		body.Conversations = append(body.Conversations, conversationOf(each))
	}
	return respond(w, r, http.StatusOK, body)
}

func (c *conversationRoutes) get(w http.ResponseWriter, r *http.Request) error {
	x, id, err := conversationInPath(r)
	if err != nil {
		return err
	}
	part, err := partOf(r)
	if err != nil {
		return err
	}
	var found store.Conversation
	err = c.timed(&x.Store, func() error {
		found, err = c.store.Conversation(r.Context(), x.owner, id, part)
		return err
	})
	if err != nil {
		return err
	}
	body := conversationOf(found)
	messages := append([]store.Message{}, found.Messages...)
	body.Messages = &messages
	if n := len(messages); n > 0 && found.Earlier {
		body.Earlier = &messages[0].Turn
	}
	if n := len(messages); n > 0 && found.Later {
		body.Later = &messages[n-1].Turn
	}
	encoded, err := c.encode(r.Context(), x.owner, body, messages)
	if err != nil {
		return err
	}
	return respondEncoded(w, r, http.StatusOK, encoded)
}

// encode waits for its turn if the messages in the body are large.
func (c *conversationRoutes) encode(ctx context.Context, o store.Owner, body conversation, messages []store.Message) ([]byte, error) {
	bytes := 0
	for _, m := range messages {
		bytes += len(m.Text) + len(m.CardJSON)
	}
	end, err := c.large.Work(ctx, "Conversation", o, bytes)
	if err != nil {
		return nil, err
	}
	defer end()
	return turn.EncodeJSON(body)
}

// partOf reads which messages of a conversation are asked for.
func partOf(r *http.Request) (store.Range, error) {
	var part store.Range
	params, err := query(r, "after", "before", "limit")
	if err != nil {
		return part, err
	}
	after, hasAfter := params["after"]
	before, hasBefore := params["before"]
	if hasAfter && hasBefore {
		return part, invalid(reasonQueryConflict, "before", "cannot be used together with after")
	}
	if hasAfter {
		n, err := number("after", after, 0, math.MaxInt32)
		if err != nil {
			return part, err
		}
		part.From = n + 1
	}
	if hasBefore {
		if part.Before, err = number("before", before, 1, math.MaxInt32); err != nil {
			return part, err
		}
	}
	if limit, ok := params["limit"]; ok {
		part.Limit, err = number("limit", limit, 1, store.MaxMessages)
	}
	return part, err
}

func (c *conversationRoutes) patch(w http.ResponseWriter, r *http.Request) error {
	x, id, err := conversationInPath(r)
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
		return invalid(reasonFieldRange, "status", "must be completed or abandoned")
	}
	var found store.Conversation
	err = c.timed(&x.Store, func() error {
		found, err = c.store.SetStatus(r.Context(), x.owner, id, store.Status(status))
		return err
	})
	if err != nil {
		return err
	}
	return respond(w, r, http.StatusOK, conversationOf(found))
}

func (c *conversationRoutes) delete(w http.ResponseWriter, r *http.Request) error {
	x, id, err := conversationInPath(r)
	if err != nil {
		return err
	}
	err = c.timed(&x.Store, func() error { return c.store.Delete(r.Context(), x.owner, id) })
	if err != nil {
		return err
	}
	timing(w, x)
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// timed runs f and adds its duration to sum.
func (c *conversationRoutes) timed(sum *time.Duration, f func() error) error {
	began := c.now()
	defer func() { *sum += c.now().Sub(began) }()
	return f()
}

// conversationInPath reads the id in the path. PathValue has decoded it, so it may
// hold any character; only a UUID is accepted.
func conversationInPath(r *http.Request) (*exchange, string, error) {
	x := of(r)
	id, err := conversationID(r.PathValue("id"))
	if err == nil {
		x.Conversation = id
	}
	return x, id, err
}
