package server

import (
	"context"
	"errors"
	"math"
	"net/http"
	"time"

	"parley/store"
	"parley/store/fair"
)

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
	body := make([]byte, 0, listingOverhead+len(found.Conversations)*conversationSize)
	return respondEncoded(w, r, http.StatusOK, appendListing(body, found))
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
	encoded, err := c.encode(r.Context(), x.owner, &found)
	if err != nil {
		return err
	}
	return respondEncoded(w, r, http.StatusOK, encoded)
}

// encode waits for its turn if the messages are large.
func (c *conversationRoutes) encode(ctx context.Context, o store.Owner, found *store.Conversation) ([]byte, error) {
	bytes := 0
	for i := range found.Messages {
		bytes += len(found.Messages[i].Text) + len(found.Messages[i].CardJSON)
	}
	end, err := c.large.Work(ctx, "Conversation", o, bytes)
	if err != nil {
		return nil, err
	}
	defer end()
	size := conversationSize + len(found.Workflow.StepData) + len(found.Workflow.Metadata) + len(found.Messages)*messageSize + bytes
	return appendPage(make([]byte, 0, size), found), nil
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
	body := appendConversation(make([]byte, 0, conversationSize), &found)
	return respondEncoded(w, r, http.StatusOK, append(body, "}\n"...))
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
