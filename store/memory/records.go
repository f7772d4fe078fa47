package memory

import (
	"context"
	"slices"
	"strconv"
	"time"

	"parley/store"
	"parley/store/internal/wire"
)

// Conversation implements store.Store.
func (s *Store) Conversation(ctx context.Context, o store.Owner, id string, r store.Range) (store.Conversation, error) {
	if err := alive(ctx, "Conversation"); err != nil {
		return store.Conversation{}, err
	}
	out, elements, err := s.part(o, id, r)
	if err != nil {
		return store.Conversation{}, err
	}
	end, err := s.large.Work(ctx, "Conversation", o, wire.Bytes(elements))
	if err != nil {
		return store.Conversation{}, err
	}
	defer end()
	if out.Messages, err = wire.DecodeElements(elements); err != nil {
		return store.Conversation{}, corrupt("Conversation", err)
	}
	return out, nil
}

// part gives a conversation without its messages, and the elements of a range of
// them. These are decoded without the lock, which nobody else could have meanwhile.
func (s *Store) part(o store.Owner, id string, r store.Range) (store.Conversation, []string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c, err := s.visible("Conversation", o, id)
	if err != nil {
		return store.Conversation{}, nil, err
	}
	out, err := wire.DecodeConversation(o, id, c.fields)
	if err != nil {
		return store.Conversation{}, nil, corrupt("Conversation", err)
	}
	first, last := wire.PartOf(c.messages, r)
	elements := slices.Clone(c.messages[first:last])
	out.Earlier, out.Later = first > 0, last < len(c.messages)
	out.Failures = slices.DeleteFunc(out.Failures, func(f store.TurnFailure) bool { return !wire.Tells(r, elements, f.Turn) })
	if len(out.Failures) == 0 {
		out.Failures = nil
	}
	return out, elements, nil
}

// List implements store.Store.
func (s *Store) List(ctx context.Context, o store.Owner, p store.Page) (store.Listing, error) {
	if err := alive(ctx, "List"); err != nil {
		return store.Listing{}, err
	}
	limit := wire.PageLimit(p.Limit)
	var after *wire.Cursor
	if p.Cursor != "" {
		cur, err := wire.DecodeCursor(p.Cursor)
		if err != nil {
			return store.Listing{}, err
		}
		after = &cur
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.now()
	var out store.Listing
	ix := s.index[wire.OwnerTag(o)]
	if ix == nil {
		return out, nil
	}
	for _, e := range ix.entries {
		at := wire.Cursor{Score: float64(e.updated.UnixMilli()), ID: e.id}
		if after != nil && after.Compare(at) >= 0 {
			continue
		}
		c := s.peek(key{wire.OwnerTag(o), e.id})
		if c == nil || !now.Before(c.expires) { // not removed here: the entries are being read
			continue
		}
		if len(out.Conversations) == limit {
			out.NextCursor = after.Encode()
			break
		}
		after = &at
		f := c.fields
		listed, err := wire.DecodeSummary(o, e.id, []byte(wire.EncodeSummary(
			f[wire.FieldCreated], f[wire.FieldUpdated], f[wire.FieldStatus], f[wire.FieldTurns], f[wire.FieldStep])))
		if err != nil || c.judge(o) != nil {
			out.Corrupt++
			continue
		}
		out.Conversations = append(out.Conversations, listed)
	}
	return out, nil
}

// SetStatus implements store.Store.
func (s *Store) SetStatus(ctx context.Context, o store.Owner, id string, status store.Status) (store.Conversation, error) {
	if err := alive(ctx, "SetStatus"); err != nil {
		return store.Conversation{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	c, err := s.visible("SetStatus", o, id)
	if err != nil {
		return store.Conversation{}, err
	}
	c.fields[wire.FieldStatus] = string(status)
	delete(c.fields, wire.FieldEnded) // from now on it is the owner's word
	s.touch(c, s.now())
	out, err := wire.DecodeConversation(o, id, c.fields)
	if err != nil {
		return store.Conversation{}, corrupt("SetStatus", err)
	}
	out.Failures = nil
	return out, nil
}

// Delete implements store.Store.
func (s *Store) Delete(ctx context.Context, o store.Owner, id string) error {
	if err := alive(ctx, "Delete"); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.get(key{wire.OwnerTag(o), id}, s.now())
	if c == nil || c.fields[wire.FieldState] == wire.StateStarting && c.judge(o) == nil {
		return store.ErrNotFound
	}
	s.remove(c)
	return nil
}

// judged finds a conversation, nil if there is none, and judges it before
// anything of it is believed or changed.
func (s *Store) judged(op string, o store.Owner, id string, now time.Time) (*conversation, error) {
	c := s.get(key{wire.OwnerTag(o), id}, now)
	if c == nil {
		return nil, nil //nolint:nilnil // absence is no error to a start
	}
	if err := c.judge(o); err != nil {
		return nil, corrupt(op, err)
	}
	return c, nil
}

func (c *conversation) judge(o store.Owner) error {
	if err := wire.SetOf(c.fields).Judge(o, len(c.messages), len(c.records)); err != nil {
		return err
	}
	if tag := c.fields[wire.FieldKey]; tag != "" {
		if _, err := c.record(c.records[tag]); err != nil {
			return err
		}
	}
	if len(c.messages) == 0 {
		return nil
	}
	return wire.JudgeLast(c.fields, c.messages[len(c.messages)-1])
}

// record reads an idempotency record of the conversation.
func (c *conversation) record(encoded string) (wire.Record, error) {
	r, err := wire.DecodeRecord(encoded)
	if err != nil {
		return r, err
	}
	return r, r.Judge(c.fields)
}

// visible finds a conversation that was not just begun to be started.
func (s *Store) visible(op string, o store.Owner, id string) (*conversation, error) {
	c, err := s.judged(op, o, id, s.now())
	if err == nil && (c == nil || c.fields[wire.FieldState] == wire.StateStarting) {
		err = store.ErrNotFound
	}
	return c, err
}

// ofTurn finds the conversation of a turn. Nobody can delete one that is being
// started.
func (s *Store) ofTurn(op string, t store.Turn, now time.Time) (*conversation, error) {
	c, err := s.judged(op, t.Owner, t.Conversation, now)
	switch {
	case err != nil || c != nil:
		return c, err
	case t.New:
		return nil, &store.Error{Op: op, Kind: store.ErrLost}
	}
	return nil, store.ErrNotFound
}

// get finds a conversation that has not expired.
func (s *Store) get(k key, now time.Time) *conversation {
	c := s.peek(k)
	if c != nil && !now.Before(c.expires) {
		s.remove(c)
		return nil
	}
	return c
}

// peek finds a conversation, expired or not.
func (s *Store) peek(k key) *conversation {
	e, ok := s.convs[k]
	if !ok {
		return nil
	}
	c, _ := e.Value.(*conversation)
	return c
}

// touch does what every write does beside its own: updatedAt, which never moves
// back, the TTL, and the place in both orders.
func (s *Store) touch(c *conversation, now time.Time) {
	if at := wire.Time(now); at > c.fields[wire.FieldUpdated] {
		c.fields[wire.FieldUpdated] = at
	}
	c.expires = now.Add(s.ttl)
	s.idle.MoveToFront(s.convs[c.key])
	s.weigh(c)
	s.evict(c, now)
	if c.fields[wire.FieldState] == wire.StateStarting {
		s.starting(c)
		return
	}
	s.started(c)
	ix := s.index[c.owner]
	if ix == nil {
		ix = &index{}
		s.index[c.owner] = ix
	}
	ix.put(c.id, c.updated())
}

func (c *conversation) updated() time.Time {
	t, _ := time.Parse(time.RFC3339, c.fields[wire.FieldUpdated])
	return t
}

func (c *conversation) int(field string) int {
	n, _ := strconv.Atoi(c.fields[field])
	return n
}

// ended reports whether the agent has ended the conversation, and its owner has not
// closed it.
func (c *conversation) ended() bool {
	return c.fields[wire.FieldStatus] == string(store.StatusCompleted) && c.fields[wire.FieldEnded] == wire.EndedByAgent
}

// append adds messages, and counts their bytes.
func (c *conversation) append(elements []string) {
	bytes := c.int(wire.FieldBytes)
	for _, e := range elements {
		bytes += len(e)
	}
	c.messages = append(c.messages, elements...)
	c.fields[wire.FieldBytes] = strconv.Itoa(bytes)
}

// turn is what every begin tells of the conversation.
func (c *conversation) turn(b store.Begin) store.Turn {
	created, _ := time.Parse(time.RFC3339, c.fields[wire.FieldCreated])
	return store.Turn{
		Owner: b.Owner, Conversation: b.Conversation, New: b.New,
		UpstreamID: c.fields[wire.FieldUpstream], Workflow: wire.Workflow(c.fields), CreatedAt: created,
	}
}

func set(fields, values map[string]string) {
	for name, value := range values {
		fields[name] = value
	}
}

func corrupt(op string, cause error) error {
	return &store.Error{Op: op, Kind: store.ErrCorrupt, Cause: cause}
}
