package turn

import (
	"encoding/json"
	"fmt"
	"strings"

	"parley/server/copilot"
	"parley/store"
)

const adaptiveCard = "application/vnd.microsoft.card.adaptive"

// messagesOf turns what the agent said in a turn into messages of ours: for each
// activity a text if it has one, then its cards. What it found as data goes
// with the text, with the first card when there is no text, and with a text of
// its own when there is neither.
func messagesOf(activities []copilot.Message, turn int, newID func() string) []store.Message {
	var all []store.Message
	for _, a := range activities {
		if !a.FromBot {
			continue // an echo of the user
		}
		first := len(all)
		if strings.TrimSpace(a.Text) != "" {
			all = append(all, store.Message{
				ID: newID(), Turn: turn, Role: store.RoleAssistant, Kind: store.KindText,
				Text: a.Text, AgentError: a.ErrorCode,
			})
		}
		cards := 0
		for _, at := range a.Attachments {
			if !isCard(at) {
				continue
			}
			cards++
			m := store.Message{ID: newID(), Turn: turn, Role: store.RoleAssistant, Kind: store.KindCard, CardJSON: at.Content}
			m.CardID = cardID(a.ID, m.ID, cards)
			all = append(all, m)
		}
		payload := payloadOf(a)
		if len(all) == first && payload != nil {
			// Data and nothing to show: a text without words carries it, else what
			// the agent found would be lost.
			all = append(all, store.Message{ID: newID(), Turn: turn, Role: store.RoleAssistant, Kind: store.KindText})
		}
		if len(all) > first {
			all[first].ExtractedPayload = payload
		}
	}
	return all
}

// isCard reports whether an attachment is a card that can be shown.
func isCard(a copilot.Attachment) bool {
	media, _, _ := strings.Cut(a.ContentType, ";")
	if !strings.EqualFold(strings.TrimSpace(media), adaptiveCard) {
		return false
	}
	var members map[string]json.RawMessage
	return json.Unmarshal(a.Content, &members) == nil && members != nil
}

// cardID names a card by the activity that brought it, so that a submit can be
// traced to what the agent sent; further cards of one activity are counted.
func cardID(activity, message string, n int) string {
	switch {
	case activity == "" || len(activity) > MaxCardID-8:
		return message
	case n == 1:
		return activity
	}
	return fmt.Sprintf("%s-%d", activity, n)
}

// agentErrorIn is the code of the newest platform error in an answer, "" if
// there is none.
func agentErrorIn(messages []store.Message) string {
	code := ""
	for _, m := range messages {
		if m.AgentError != "" {
			code = m.AgentError
		}
	}
	return code
}
