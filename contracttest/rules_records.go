package contracttest

import (
	"encoding/json"

	"github.com/google/uuid"

	"parley/store"
)

// recordRules are about what is kept and who sees it: S1 and S2.
func recordRules() []Rule {
	return []Rule{
		{ID: "S1.round-trip", Sentence: "every field of a conversation and its messages comes back as stored, in any script", check: roundTrip},
		{ID: "S1.no-alias", Sentence: "what a caller does to a value it passed or received changes nothing stored", check: noAlias},
		{ID: "S2.absent", Sentence: "a conversation that never was is not found", check: absentIsNotFound},
		{ID: "S2.owners", Sentence: "for another user, and for another tenant, a conversation does not exist", check: ownersApart},
		{ID: "S2.starting", Sentence: "a conversation that is still being started is not found", check: startingIsInvisible},
	}
}

// strange holds what encodings get wrong.
const strange = "héllo \"quoted\" \\ back {brace} [x] 日本語 🎉 e\u0301 \u2028 \t\n <script> 100% %s"

func roundTrip(e *env) {
	b := e.starting()
	b.Workflow = store.Workflow{ID: "wf " + strange, Metadata: json.RawMessage(`{"a":[1,2.50,null]}`)}
	created := e.begin(b)
	greeting := answered("hi", strange)
	e.complete(created, store.Completion{Outcome: store.Outcome{Messages: greeting}, UpstreamID: "up/" + strange})

	turn := e.input(b.Conversation, strange)
	turn.Workflow = store.Workflow{CurrentStep: "step " + strange, StepData: json.RawMessage(`{"k":"` + "日本" + `"}`)}
	held := e.begin(turn)
	answer := []store.Message{
		{
			ID: uuid.NewString(), Role: store.RoleAssistant, Kind: store.KindText, Text: strange, AgentError: "SystemError", TraceID: "0123456789abcdef0123456789abcdef",
			ExtractedPayload: &store.Payload{Source: "value", Confidence: "high", Data: json.RawMessage(`{"n":1}`)},
		},
		{
			ID: uuid.NewString(), Role: store.RoleAssistant, Kind: store.KindCard, CardID: "card/1",
			CardJSON: json.RawMessage(`{"type":"AdaptiveCard","body":[{"text":"🎉"}]}`),
		},
	}
	said := append(append(of(0, greeting), of(1, turn.Input)...), of(1, answer)...) // copies, before anybody can change them
	e.complete(held, store.Completion{Outcome: store.Outcome{Messages: answer}, UpstreamID: "upstream-2", Ended: true})

	got := e.get(b.Conversation)
	want := store.Conversation{
		ID: b.Conversation, Owner: e.owner, CreatedAt: got.CreatedAt, UpdatedAt: got.CreatedAt,
		Status: store.StatusCompleted, UpstreamID: "upstream-2", Turns: 1,
		Workflow: store.Workflow{ID: b.Workflow.ID, Metadata: b.Workflow.Metadata, CurrentStep: turn.Workflow.CurrentStep, StepData: turn.Workflow.StepData},
		Messages: said,
	}
	e.same("conversation", got, want)
	if ms := got.CreatedAt.UnixNano() % 1e6; ms != 0 || got.CreatedAt.Location().String() != "UTC" || got.CreatedAt.IsZero() {
		e.broken("createdAt is %v", got.CreatedAt)
	}
	e.same("upstream id that a turn is given", held.UpstreamID, "up/"+strange)
	e.same("workflow that a turn is given", held.Workflow, want.Workflow)

	listed := e.list(store.Page{}).Conversations
	e.same("listed", listed, []store.Conversation{{
		ID: want.ID, Owner: want.Owner, CreatedAt: want.CreatedAt, UpdatedAt: want.UpdatedAt, Status: want.Status,
		Turns: 1, Workflow: store.Workflow{CurrentStep: want.Workflow.CurrentStep},
	}})
}

func noAlias(e *env) {
	id := e.start()
	b := e.input(id, "mine")
	b.Workflow.StepData = json.RawMessage(`{"a":1}`)
	t := e.begin(b)
	b.Input[0].Text, b.Workflow.StepData[2] = "changed", 'X'
	answer := answered("yours")
	answer[0].CardJSON = json.RawMessage(`{"b":2}`)
	e.complete(t, store.Completion{Outcome: store.Outcome{Messages: answer}})
	answer[0].Text, answer[0].CardJSON[2] = "changed", 'X'

	first := e.get(id)
	for i := range first.Messages {
		first.Messages[i].Text = "changed"
	}
	first.Workflow.StepData[2] = 'X'
	first.Messages[2].CardJSON[2] = 'X'
	got := e.get(id)
	e.same("texts", texts(got.Messages), []string{"hello", "mine", "yours"})
	e.same("step data and card", string(got.Workflow.StepData)+string(got.Messages[2].CardJSON), `{"a":1}{"b":2}`)
}

func absentIsNotFound(e *env) { e.gone(uuid.NewString()) }

func ownersApart(e *env) {
	id := e.start()
	owner := e.owner
	for _, other := range []store.Owner{
		{Tenant: owner.Tenant, User: "other-" + owner.User},
		{Tenant: "other-" + owner.Tenant, User: owner.User},
		{Tenant: owner.User, User: owner.Tenant},
		{Tenant: owner.Tenant + owner.User, User: ""},
	} {
		e.owner = other
		e.gone(id)
	}
	e.owner = owner
	e.same("messages of its owner", texts(e.get(id).Messages), []string{"hello"})
}

func startingIsInvisible(e *env) {
	b := e.starting()
	t := e.begin(b)
	e.gone(b.Conversation)
	e.complete(t, reply("hello"))
	e.same("after completion", texts(e.get(b.Conversation).Messages), []string{"hello"})
}
