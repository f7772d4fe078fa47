package turn

import (
	"encoding/json"
	"fmt"
	"strings"

	"parley/server/copilot"
	"parley/store"
)

const adaptiveCard = "application/vnd.microsoft.card.adaptive"

// said is what the agent said in one activity.
type said struct {
	messages []store.Message
	// payload is data that came without anything to show, nil if there is none. It
	// belongs to the turn's answer: a message for it would be an empty bubble.
	payload *store.Payload
	// hidden names the attachments that are of no kind that a front end shows.
	hidden []string
}

// data is the data that the activity has, nil if none.
func (s *said) data() *store.Payload {
	if len(s.messages) > 0 {
		return s.messages[0].ExtractedPayload
	}
	return s.payload
}

// messagesOf turns an activity of the agent into messages of ours: a text if it
// has one, then its cards. What it found as data goes with the first of them. An
// activity that has only attachments which are not shown becomes a text that says
// so, because an empty answer would leave the user waiting.
func messagesOf(a copilot.Message, turn int, newID func() string) said {
	if !a.FromBot {
		return said{} // an echo of the user
	}
	var s said
	text, code := a.Text, a.ErrorCode
	var cards, others []copilot.Attachment
	for _, at := range a.Attachments {
		if isCard(at) {
			cards = append(cards, at)
			continue
		}
		others = append(others, at)
		s.hidden = append(s.hidden, at.Label())
	}
	if strings.TrimSpace(text) == "" && len(cards) == 0 {
		text = copilot.Placeholder(others)
	}
	if strings.TrimSpace(text) != "" {
		s.messages = append(s.messages, store.Message{
			ID: newID(), Turn: turn, Role: store.RoleAssistant, Kind: store.KindText, Text: text, AgentError: code,
		})
	}
	for i, card := range cards {
		m := store.Message{ID: newID(), Turn: turn, Role: store.RoleAssistant, Kind: store.KindCard, CardJSON: card.Content}
		m.CardID = cardID(a.ID, m.ID, i+1)
		s.messages = append(s.messages, m)
	}
	if payload := payloadOf(a); len(s.messages) > 0 {
		s.messages[0].ExtractedPayload = payload
	} else {
		s.payload = payload
	}
	return s
}

// trace puts the id of a trace on what is an error of the agent. The answer is a 200, and
// is read again later, by other requests: only the message can lead to the request
// whose turn it was.
func (s said) trace(id string) {
	for i := range s.messages {
		if s.messages[i].AgentError != "" {
			s.messages[i].TraceID = id
		}
	}
}

// isCard reports whether an attachment is an adaptive card with content.
func isCard(a copilot.Attachment) bool {
	media, _, _ := strings.Cut(a.ContentType, ";")
	if !strings.EqualFold(strings.TrimSpace(media), adaptiveCard) {
		return false
	}
	var members map[string]json.RawMessage
	return json.Unmarshal(a.Content, &members) == nil && members != nil
}

// cardID is the id of the activity with the card, so that a submit can be traced to
// it. Further cards of the same activity get a number.
func cardID(activity, message string, n int) string {
	switch {
	case activity == "" || len(activity) > MaxCardID-8:
		return message
	case n == 1:
		return activity
	}
	return fmt.Sprintf("%s-%d", activity, n)
}

// agentErrorIn is the code of the last platform error in an answer, "" if there is
// none.
func agentErrorIn(messages []store.Message) string {
	code := ""
	for _, m := range messages {
		if m.AgentError != "" {
			code = m.AgentError
		}
	}
	return code
}
