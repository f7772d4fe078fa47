package turn

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/uuid"

	"parley/store"
)

// What an answer takes in the store is never more than it was counted as.
func TestSize(t *testing.T) {
	for _, text := range []string{"", "hello", "\u2028 \x01 \" \\ < > &", strings.Repeat("日本", 100), strings.Repeat("\x00", 1000)} {
		m := store.Message{
			ID: uuid.NewString(), Turn: 1_000_000, Role: store.RoleAssistant, Kind: store.KindCard, Text: text, CardID: text,
			ExtractedPayload: &store.Payload{Source: "entities", Confidence: "medium", Data: json.RawMessage(`{"a":1}`)},
		}
		stored, err := json.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		if got := (said{messages: []store.Message{m}}).size(); got < len(stored) || got > 2*len(stored)+minMessage {
			t.Errorf("%.20q: counted as %d, stored in %d", text, got, len(stored))
		}
	}
}
