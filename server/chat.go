package server

import (
	"net/http"

	"parley/server/copilot"
	"parley/server/turn"
)

// chatRoutes are the routes that ask for a turn.
type chatRoutes struct {
	turns *turn.Runner
	cards cardPolicy
	newID func() string
}

// start begins a conversation and answers with the agent's greeting.
func (c *chatRoutes) start(w http.ResponseWriter, r *http.Request) error {
	body, err := readBody(w, r)
	if err != nil {
		return err
	}
	if len(body) > 0 {
		if _, err := parseBody(body); err != nil {
			return err
		}
	}
	req, err := c.newConversation(r, turn.KindStart)
	if err != nil {
		return err
	}
	req.Fingerprint = turn.Fingerprint(req.Kind, nil)
	return c.chat(w, r, req)
}

// send sends a message in a conversation.
func (c *chatRoutes) send(w http.ResponseWriter, r *http.Request) error {
	o, err := readObject(w, r, "conversationId", "text", "workflowContext")
	if err != nil {
		return err
	}
	req, err := inConversation(r, turn.KindSend, o)
	if err != nil {
		return err
	}
	text, err := o.text("text", maxText)
	if err != nil {
		return err
	}
	if req.Workflow, err = parseWorkflow(o); err != nil {
		return err
	}
	req.Text = text
	req.Fingerprint = turn.Fingerprint(req.Kind, req.Workflow, text)
	return c.chat(w, r, req)
}

// cardAction submits a card in a conversation.
func (c *chatRoutes) cardAction(w http.ResponseWriter, r *http.Request) error {
	o, err := readObject(w, r, "conversationId", "cardId", "userSummary", "submitData")
	if err != nil {
		return err
	}
	req, err := inConversation(r, turn.KindCard, o)
	if err != nil {
		return err
	}
	card, err := o.text("cardId", turn.MaxCardID)
	if err != nil {
		return err
	}
	summary, err := o.text("userSummary", maxText)
	if err != nil {
		return err
	}
	submit, err := o.object("submitData")
	if err != nil {
		return err
	}
	if err := c.cards.allow(submit); err != nil {
		return err
	}
	if req.Value, err = withCardID(submit, card); err != nil {
		return invalid(reasonBodyNotJSON, "submitData", "is malformed")
	}
	req.Text, req.CardID = summary, card
	req.Fingerprint = turn.Fingerprint(req.Kind, nil, card, summary, turn.Canonical(submit))
	return c.chat(w, r, req)
}

// orchestrate starts a conversation and runs its first turn in one call.
func (c *chatRoutes) orchestrate(w http.ResponseWriter, r *http.Request) error {
	o, err := readObject(w, r, "query", "workflowContext")
	if err != nil {
		return err
	}
	query, err := o.text("query", maxText)
	if err != nil {
		return err
	}
	wc, err := parseWorkflow(o)
	if err != nil {
		return err
	}
	req, err := c.newConversation(r, turn.KindOrchestrate)
	if err != nil {
		return err
	}
	req.Text, req.Workflow = query, wc
	req.Fingerprint = turn.Fingerprint(req.Kind, wc, query)

	of(r).reserved.releaseBody() // what the turn needs of it has been decoded
	a, err := c.turns.Run(r.Context(), &of(r).Progress, req, nil)
	if err != nil {
		return err
	}
	body, err := encodeOrchestration(a)
	return answer(w, r, a.Replayed, body, err)
}

// chat runs a turn and answers in the common form, as JSON or as a stream.
func (c *chatRoutes) chat(w http.ResponseWriter, r *http.Request, req *turn.Request) error {
	of(r).reserved.releaseBody() // what the turn needs of it has been decoded
	if wantsStream(r.Header) {
		return c.stream(w, r, req)
	}
	a, err := c.turns.Run(r.Context(), &of(r).Progress, req, nil)
	if err != nil {
		return err
	}
	body, err := encodeAnswer(a)
	return answer(w, r, a.Replayed, body, err)
}

// answer writes the encoded answer of a turn, or returns the error of encoding it.
func answer(w http.ResponseWriter, r *http.Request, replayed bool, body []byte, err error) error {
	if err != nil {
		return err
	}
	if replayed {
		w.Header().Set("Idempotency-Replayed", "true")
	}
	return respondEncoded(w, r, http.StatusOK, body)
}

// newConversation makes the request of a route that starts a conversation.
func (c *chatRoutes) newConversation(r *http.Request, kind turn.Kind) (*turn.Request, error) {
	req, err := newRequest(r, kind)
	if err != nil {
		return nil, err
	}
	if req.Key != "" {
		req.Conversation = startID(req.Owner, req.Key)
	} else {
		req.Conversation = c.newID()
	}
	return req, nil
}

// inConversation makes the request of a route for an existing conversation.
func inConversation(r *http.Request, kind turn.Kind, o object) (*turn.Request, error) {
	req, err := newRequest(r, kind)
	if err != nil {
		return nil, err
	}
	id, err := o.string("conversationId")
	if err != nil {
		return nil, err
	}
	req.Conversation, err = conversationID(id)
	return req, err
}

func newRequest(r *http.Request, kind turn.Kind) (*turn.Request, error) {
	x := of(r)
	key, err := idempotencyKey(r.Header)
	return &turn.Request{
		Kind: kind, Owner: x.owner, Key: key, RequestID: x.requestID, TraceID: x.traceID(), Traceparent: x.traceparent,
		Identity: copilot.Identity{Tenant: x.owner.Tenant, User: x.owner.User, Assertion: x.who.Token},
	}, err
}

// readObject reads a required JSON body.
func readObject(w http.ResponseWriter, r *http.Request, known ...string) (object, error) {
	body, err := readBody(w, r)
	if err != nil {
		return object{}, err
	}
	if len(body) == 0 {
		if err := checkType(r.Header); err != nil {
			return object{}, err
		}
	}
	return parseBody(body, known...)
}
