package copilot

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	jsonv1 "github.com/go-json-experiment/json/v1"
)

type laxActivity struct {
	Type         lax[string]     `json:"type"`
	ID           lax[string]     `json:"id"`
	Text         json.RawMessage `json:"text"`
	Value        json.RawMessage `json:"value"`
	ChannelData  lax[laxStream]  `json:"channelData"`
	Entities     lax[laxList]    `json:"entities"`
	Attachments  json.RawMessage `json:"attachments"`
	Conversation lax[struct {
		ID lax[string] `json:"id"`
	}] `json:"conversation"`
	From lax[struct {
		Role json.RawMessage `json:"role"`
	}] `json:"from"`
}

type laxList = []json.RawMessage

type laxStream struct {
	Type      lax[string]  `json:"type"`
	StreamID  lax[string]  `json:"streamId"`
	Kind      lax[string]  `json:"streamType"`
	Seq       lax[int]     `json:"streamSequence"`
	ChunkType lax[string]  `json:"chunkType"`
	Citation  lax[laxList] `json:"citation"`
}

// unmarshalActivity is decodeActivity by a package for JSON: what that has to mean.
func unmarshalActivity(b []byte) (activity, error) {
	var w laxActivity
	if jsonv1.Unmarshal(b, &w) != nil {
		return activity{}, errBadActivity
	}
	a := activity{kind: w.Type.v, id: w.ID.v, conversation: w.Conversation.v.ID.v, fromBot: isBot(w.From.v.Role)}
	if a.kind == "" {
		return activity{}, errBadActivity
	}
	if !blank(w.Text) {
		var ok bool
		if a.text, ok = decodeText(w.Text); !ok {
			return activity{}, errBadActivity
		}
	}
	var ok bool
	if a.attachments, ok = readAttachments(w.Attachments); !ok {
		return activity{}, errBadActivity
	}
	if !blank(w.Value) {
		a.value = CleanJSON(w.Value)
	}
	readLaxEntities(&a, w.Entities.v, w.ChannelData.v)
	return a, nil
}

func readLaxEntities(a *activity, entities []json.RawMessage, channel laxStream) {
	var info laxStream
	for _, raw := range entities {
		var e laxStream
		if !isObject(raw) || jsonv1.Unmarshal(raw, &e) != nil || e.Type.v == "" {
			continue
		}
		if clean := CleanJSON(raw); clean != nil {
			a.entities = append(a.entities, clean)
		}
		switch {
		case strings.EqualFold(e.Type.v, "streaminfo"):
			info = e
		case len(e.Citation.v) > 0:
			a.cited = true
		}
	}
	a.stream = streamInfo{
		id:    first(info.StreamID.v, channel.StreamID.v),
		kind:  strings.ToLower(first(info.Kind.v, channel.Kind.v)),
		seq:   max(0, first(info.Seq.v, channel.Seq.v)),
		delta: strings.EqualFold(first(info.ChunkType.v, channel.ChunkType.v), "delta"),
	}
}

// FuzzDecodeActivity: an activity that is walked through means what it means to a package
// for JSON.
func FuzzDecodeActivity(f *testing.F) {
	for _, s := range []string{
		`{"type":"message","id":"a","text":"b","from":{"id":"c","role":"bot"},"conversation":{"id":"d"},"attachments":[],"entities":[]}`,
		` { "Type" : "message" , "TEXT" : "a\"b\\" , "value" : { "a" : [ 1 , { "b" : "}" } ] } , "other" : -1.5e3 } `,
		`{"t\u0079pe":"typing","channelData":{"streamId":"s","streamType":"Streaming","streamSequence":3,"chunkType":"delta"}}`,
		`{"type":"typing","entities":[{"type":"streaminfo","streamId":"s","streamSequence":1e2},[1],"x",null,{"type":"e","citation":[ ]}]}`,
		`{"type":"a","type":7,"id":"a","id":null,"from":{"role":0},"from":7,"conversation":{"id":"c"},"conversation":{},"channelData":{"streamSequence":1},"channelData":"x"}`,
		`{"type":"message","entities":[{"type":"e"}],"entities":[],"entities":[ ]}`,
		`{"type":"message","entities":[{"type":"e","citation":[{}],"citation":[],"streamSequence":-0}],"attachments":[{"contentType":"c","content":{"b":2}}]}`,
		`{"type":"message","entities":[{"type":"e","citation":[{}],"citation":[ ]}],"con\u0076ersation":{"ID":"x"},"\u017ftreamId":"s","FROM":{"ROLE":"User"}}`,
		`{"type":"message","value":[[]],"x":[[1],[2]],"text":7}`,
		`{"channeldata":{"\u017ftreamId":"s","chun\u212aType":"delta"},"type":"typing"}`,
		`[]`, `null`, `{}`, `{"type":"message"`, `{"type":"message"}{}`, "{\"type\":\"\xff\",\"\xfftype\":1}",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		want, wantErr := unmarshalActivity(raw)
		got, err := decodeActivity(raw)
		if (err != nil) != (wantErr != nil) || !reflect.DeepEqual(got, want) {
			t.Errorf("%q: %+v, %v, want %+v, %v", raw, got, err, want, wantErr)
		}
	})
}
