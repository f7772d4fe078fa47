package wire

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"parley/store"
)

// errLegacy is all that is said of a legacy record that does not decode.
var errLegacy = errors.New("wire: legacy record")

// legacy is the flat JSON of the service before Parley. Its oldest records have nothing
// but externalId and history; every other field came later.
type legacy struct {
	ExternalID  string          `json:"externalId"`
	History     []legacyMessage `json:"history"`
	UserID      string          `json:"userId"`
	TenantID    string          `json:"tenantId"`
	CreatedAt   string          `json:"createdAt"`
	UpdatedAt   string          `json:"updatedAt"`
	Status      string          `json:"status"`
	WorkflowID  string          `json:"workflowId"`
	CurrentStep string          `json:"currentStep"`
	StepData    json.RawMessage `json:"stepData"`
	Metadata    json.RawMessage `json:"metadata"`
}

// legacyMessage takes a null where a legacy record has one.
type legacyMessage struct {
	ID               string          `json:"id"`
	Role             store.Role      `json:"role"`
	Kind             store.Kind      `json:"kind"`
	Text             string          `json:"text"`
	CardJSON         json.RawMessage `json:"cardJson"`
	CardID           string          `json:"cardId"`
	ExtractedPayload *store.Payload  `json:"extractedPayload"`
}

// LegacyOwner reads whose a legacy record is, also when the rest of
// it does not decode. False means that it cannot be told, and then it is
// nobody's.
func LegacyOwner(data []byte) (store.Owner, bool) {
	var l struct {
		UserID   string `json:"userId"`
		TenantID string `json:"tenantId"`
	}
	if json.Unmarshal(data, &l) != nil {
		return store.Owner{}, false
	}
	return store.Owner{Tenant: or(l.TenantID, store.DefaultTenant), User: or(l.UserID, store.DefaultUser)}, true
}

// MaxLegacyScore is the highest score of a legacy index that is a time, in Unix
// milliseconds: the last of the year 9999.
const MaxLegacyScore = 253_402_300_799_999

// LegacyTime is the time that a score of the legacy index stands for.
func LegacyTime(score float64) time.Time {
	return time.UnixMilli(int64(max(0, min(score, MaxLegacyScore)))).UTC()
}

// DecodeLegacy reads a legacy record. at stands in for the times of records from
// before it wrote any: never the present, or such a record would be the newest at
// every reading. Turns are counted by the user's
// messages, which is what they meant there. The upstream id is empty: the
// legacy service never stored it.
func DecodeLegacy(data []byte, at time.Time) (store.Conversation, error) {
	var l legacy
	if json.Unmarshal(data, &l) != nil || l.ExternalID == "" {
		return store.Conversation{}, errLegacy
	}
	var d decoder
	c := store.Conversation{
		ID:     l.ExternalID,
		Owner:  store.Owner{Tenant: or(l.TenantID, store.DefaultTenant), User: or(l.UserID, store.DefaultUser)},
		Status: store.Status(or(l.Status, string(store.StatusActive))),
		Workflow: store.Workflow{
			ID: l.WorkflowID, CurrentStep: l.CurrentStep,
			StepData: absent(l.StepData), Metadata: absent(l.Metadata),
		},
	}
	c.CreatedAt = d.time(FieldCreated, or(l.CreatedAt, or(l.UpdatedAt, Time(at))))
	c.UpdatedAt = d.time(FieldUpdated, or(l.UpdatedAt, Time(c.CreatedAt)))
	if !c.Status.Valid() {
		d.fail(FieldStatus)
	}
	for i, h := range l.History {
		if h.Role == store.RoleUser {
			c.Turns++
		}
		m := store.Message{
			ID: or(h.ID, c.ID+"-"+strconv.Itoa(i)), Turn: c.Turns, Role: h.Role, Kind: store.Kind(or(string(h.Kind), string(store.KindText))),
			Text: h.Text, CardJSON: absent(h.CardJSON), CardID: h.CardID, ExtractedPayload: h.ExtractedPayload,
		}
		if err := checkMessage(&m); err != nil {
			d.fail("history")
		}
		c.Messages = append(c.Messages, m)
	}
	if d.err != nil {
		return store.Conversation{}, errLegacy
	}
	return c, nil
}

// ImportFields are the fields of a converted conversation.
func ImportFields(c store.Conversation) map[string]string {
	f := NewFields(store.Begin{Owner: c.Owner, Conversation: c.ID})
	f[FieldCreated], f[FieldUpdated] = Time(c.CreatedAt), Time(c.UpdatedAt)
	f[FieldStatus] = string(c.Status)
	f[FieldTurns] = strconv.Itoa(c.Turns)
	f[FieldCount] = strconv.Itoa(len(c.Messages))
	f[FieldState] = StateDone
	for name, value := range WorkflowFields(c.Workflow) {
		f[name] = value
	}
	return f
}

func absent(r json.RawMessage) json.RawMessage {
	if len(r) == 0 || string(r) == "null" {
		return nil
	}
	return r
}

// decoder keeps the first fault and names the field, never the value: values
// are what users said.
type decoder struct{ err error }

func (d *decoder) fail(field string) {
	if d.err == nil {
		d.err = fmt.Errorf("wire: field %s", field)
	}
}

func (d *decoder) time(field, s string) time.Time {
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		d.fail(field)
	}
	return Millis(t)
}

func or(s, def string) string {
	if s == "" {
		return def
	}
	return s
}
