package turn

import (
	"encoding/json"
	"strings"

	"parley/store"
)

// Bounds of what a turn publishes, in bytes of JSON. Past the first, no more deltas
// are published; past the second, nothing. Readers then get the rest from the stored
// answer.
const (
	maxPublishedDeltas = 512 << 10
	maxPublished       = 1 << 20
)

// published is an entry of the relay: what changed in a feed since the entry before;
// for a snapshot, all of it. Applying one twice changes nothing.
type published struct {
	Version  int             `json:"v"`
	First    int             `json:"n"` // index of the first of Messages
	Messages []store.Message `json:"m,omitempty"`
	Writing  []written       `json:"d,omitempty"` // every text that is being written, also those that did not change
}

// written is a text that is being written: what a reader has of it up to At, and then
// Text.
type written struct {
	Message string `json:"id"`
	Version int    `json:"v"`
	At      int    `json:"at,omitempty"` // in bytes
	Text    string `json:"t,omitempty"`
}

// publisher makes entries of a feed.
type publisher struct {
	feed     *Feed
	messages int               // published
	texts    map[string]string // published of what is being written
	version  int
	bytes    int
	started  bool
}

// restart has the next entry be a snapshot.
func (p *publisher) restart() { p.started = false }

// next is the next entry; ok is false when nothing has changed, full is true when
// nothing more may be published.
func (p *publisher) next() (e store.Entry, ok, full bool) {
	p.feed.mu.Lock()
	defer p.feed.mu.Unlock()
	if !p.started {
		p.messages, p.texts, p.version = 0, nil, -1
	}
	f := p.feed
	if p.started && p.messages == len(f.messages) && p.version == f.version {
		return e, false, false
	}
	out := published{Version: f.version, First: p.messages, Messages: f.messages[p.messages:]}
	texts := map[string]string{}
	if p.bytes < maxPublishedDeltas {
		for _, d := range f.writing {
			w := written{Message: d.Message, Version: d.Version, Text: d.Text}
			if had := p.texts[d.Message]; strings.HasPrefix(d.Text, had) {
				w.At, w.Text = len(had), d.Text[len(had):]
			}
			texts[d.Message] = d.Text
			out.Writing = append(out.Writing, w)
		}
	}
	data, err := EncodeJSON(out)
	if err != nil || p.bytes+len(data) > maxPublished {
		return e, false, true
	}
	e = store.Entry{Data: data, Snapshot: !p.started}
	p.bytes += len(data)
	p.messages, p.texts, p.version, p.started = len(f.messages), texts, f.version, true
	return e, true, false
}

// apply adds an entry to the feed of a mirror.
func (f *Feed) apply(data json.RawMessage) error {
	var p published
	if err := json.Unmarshal(data, &p); err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if have := len(f.messages) - p.First; p.First >= 0 && have >= 0 && have < len(p.Messages) {
		f.messages = append(f.messages, p.Messages[have:]...)
	}
	had := map[string]Delta{}
	for _, d := range f.writing {
		had[d.Message] = d
	}
	f.writing = make([]Delta, 0, len(p.Writing))
	for _, w := range p.Writing {
		d := had[w.Message]
		if w.At < 0 || w.At > len(d.Text) || w.Version < d.Version {
			if d.Message != "" {
				f.writing = append(f.writing, d)
			}
			continue
		}
		f.writing = append(f.writing, Delta{Message: w.Message, Text: d.Text[:w.At] + w.Text, Version: w.Version})
	}
	f.version = max(f.version, p.Version)
	f.change()
	return nil
}
