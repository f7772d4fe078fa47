package server

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/http"

	"parley/server/copilot"
	"parley/store"
)

// chatAnswer is the body of start, send and card-action.
type chatAnswer struct {
	Conversation string          `json:"conversationId"`
	Messages     []store.Message `json:"messages"`
	State        *workflowState  `json:"workflowState,omitempty"`
	Restarted    bool            `json:"conversationRestarted,omitempty"`
}

func chatAnswerOf(a answer) chatAnswer {
	return chatAnswer{Conversation: a.id, Messages: a.messages, State: a.extra.State, Restarted: a.extra.Restarted}
}

// orchestrateAnswer is the body of orchestrate.
type orchestrateAnswer struct {
	Conversation string          `json:"conversationId"`
	Messages     []store.Message `json:"messages"`
	Payload      *store.Payload  `json:"extractedPayload"`
	LatencyMs    int64           `json:"latencyMs"`
	State        *workflowState  `json:"workflowState"`
	Restarted    bool            `json:"conversationRestarted,omitempty"`
}

// start begins a conversation and answers with the agent's greeting.
func (s *Server) start(w http.ResponseWriter, r *http.Request) error {
	body, err := readBody(w, r)
	if err != nil {
		return err
	}
	if len(body) > 0 {
		if _, err := parseBody(body); err != nil {
			return err
		}
	}
	in, err := s.newInput(r)
	if err != nil {
		return err
	}
	in.start = true
	in.fingerprint = fingerprint("start", nil)
	return s.chat(w, r, in)
}

// send says something in a conversation.
func (s *Server) send(w http.ResponseWriter, r *http.Request) error {
	o, err := readObject(w, r, "conversationId", "text", "workflowContext")
	if err != nil {
		return err
	}
	in, err := s.oldInput(r, o)
	if err != nil {
		return err
	}
	text, err := o.text("text", maxText)
	if err != nil {
		return err
	}
	if in.workflow, err = parseWorkflow(o); err != nil {
		return err
	}
	in.text = in.workflow.prefix(text)
	in.said = s.userSays(text, "")
	in.fingerprint = fingerprint("send", in.workflow, text)
	return s.chat(w, r, in)
}

// cardAction submits a card in a conversation.
func (s *Server) cardAction(w http.ResponseWriter, r *http.Request) error {
	o, err := readObject(w, r, "conversationId", "cardId", "userSummary", "submitData")
	if err != nil {
		return err
	}
	in, err := s.oldInput(r, o)
	if err != nil {
		return err
	}
	card, err := o.text("cardId", maxCardID)
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
	if err := s.allowCard(submit); err != nil {
		return err
	}
	if in.value, err = withCardID(submit, card); err != nil {
		return invalid("submitData", "is malformed")
	}
	in.text = summary
	in.said = s.userSays(summary, card)
	in.fingerprint = fingerprint("card-action", nil, card, summary, canonical(submit))
	return s.chat(w, r, in)
}

// orchestrate is a new conversation and its first turn in one call.
func (s *Server) orchestrate(w http.ResponseWriter, r *http.Request) error {
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
	in, err := s.newInput(r)
	if err != nil {
		return err
	}
	in.start, in.talk, in.workflow = true, true, wc
	in.text = wc.prefix(query)
	in.said = s.userSays(query, "")
	in.fingerprint = fingerprint("orchestrate", wc, query)

	a, err := s.turns.run(r.Context(), &of(r).progress, in, nil)
	if err != nil {
		return err
	}
	return s.answer(w, r, a, orchestrateAnswer{
		Conversation: a.id, Messages: a.messages, Payload: newestPayload(a.messages),
		LatencyMs: a.extra.LatencyMs, State: a.extra.State, Restarted: a.extra.Restarted,
	})
}

// chat runs a turn and answers in the common form, in one piece or as it comes.
func (s *Server) chat(w http.ResponseWriter, r *http.Request, in *input) error {
	if wantsStream(r.Header) {
		return s.stream(w, r, in)
	}
	a, err := s.turns.run(r.Context(), &of(r).progress, in, &feed{})
	if err != nil {
		return err
	}
	return s.answer(w, r, a, chatAnswerOf(a))
}

func (s *Server) answer(w http.ResponseWriter, r *http.Request, a answer, body any) error {
	if a.replayed {
		w.Header().Set("Idempotency-Replayed", "true")
	}
	return s.respond(w, r, http.StatusOK, body)
}

// newInput is what a route that makes a conversation begins with.
func (s *Server) newInput(r *http.Request) (*input, error) {
	in, err := s.commonInput(r)
	if err != nil {
		return nil, err
	}
	if in.key != "" {
		in.id = startID(in.owner, in.key)
	} else {
		in.id = s.cfg.NewID()
	}
	return in, nil
}

// oldInput is what a route that talks in a conversation begins with.
func (s *Server) oldInput(r *http.Request, o object) (*input, error) {
	in, err := s.commonInput(r)
	if err != nil {
		return nil, err
	}
	in.talk = true
	id, err := o.string("conversationId")
	if err != nil {
		return nil, err
	}
	in.id, err = conversationID(id)
	return in, err
}

func (s *Server) commonInput(r *http.Request) (*input, error) {
	x := of(r)
	key, err := idempotencyKey(r.Header)
	return &input{
		owner:    x.owner,
		identity: copilot.Identity{Tenant: x.owner.Tenant, User: x.owner.User, Assertion: x.who.Token},
		key:      key,
	}, err
}

// userSays is the user's message as it is stored.
func (s *Server) userSays(text, card string) []store.Message {
	return []store.Message{{ID: s.cfg.NewID(), Role: store.RoleUser, Kind: store.KindText, Text: text, CardID: card}}
}

// readObject reads a body that must be there.
func readObject(w http.ResponseWriter, r *http.Request, known ...string) (object, error) {
	body, err := readBody(w, r)
	if err != nil {
		return object{}, err
	}
	if len(body) == 0 && !isJSON(r.Header) {
		return object{}, errMediaType
	}
	return parseBody(body, known...)
}

// fingerprint tells requests apart by what they ask for: the kind of route and
// the values of the known fields, however they were written down.
func fingerprint(kind string, wc *workflowContext, values ...string) string {
	form := struct {
		Kind   string
		Step   string
		Limits []string
		Data   string
		Flow   bool
		Values []string
	}{Kind: kind, Values: values, Flow: wc != nil}
	if wc != nil {
		form.Step, form.Limits, form.Data = wc.Step, wc.Constraints, canonical(wc.CollectedData)
	}
	b, err := json.Marshal(form)
	if err != nil {
		panic(err) // strings always encode
	}
	sum := sha256.Sum256(b)
	return base64.RawStdEncoding.EncodeToString(sum[:])
}

// canonical writes valid JSON with its members sorted and without spaces;
// numbers stay as they were written.
func canonical(raw json.RawMessage) string {
	var v any
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	if dec.Decode(&v) != nil {
		return string(raw)
	}
	b, err := json.Marshal(v)
	if err != nil {
		return string(raw)
	}
	return string(b)
}
