package turn

import (
	"encoding/json"
	"testing"

	"pgregory.net/rapid"

	"parley/store"
)

// A mirror that takes any of the entries of a turn late, twice or from a snapshot on
// shows, in the end, what the turn's own feed shows.
func TestMirrorShowsWhatTheFeedShows(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		own := &Feed{fence: 1}
		p := publisher{feed: own}
		mirror := &Feed{fence: 1}
		texts := map[string]string{}
		letters := rapid.StringN(0, 4, -1)
		for range rapid.IntRange(1, 30).Draw(t, "steps") {
			id := rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "message")
			switch rapid.IntRange(0, 4).Draw(t, "what") {
			case 0: // it grows
				texts[id] += letters.Draw(t, "more")
				own.write(id, texts[id])
			case 1: // it is written anew
				texts[id] = letters.Draw(t, "anew")
				own.write(id, texts[id])
			case 2:
				own.say(id, []store.Message{{ID: id, Text: texts[id]}})
				delete(texts, id)
			case 3:
				p.restart()
			}
			if rapid.Bool().Draw(t, "publish") {
				publishTo(t, &p, mirror)
			}
		}
		publishTo(t, &p, mirror)
		if got, want := state(mirror), state(own); got != want {
			t.Fatalf("the mirror shows\n%s\nwant\n%s", got, want)
		}
	})
}

func publishTo(t *rapid.T, p *publisher, mirror *Feed) {
	e, ok, full := p.next()
	if full {
		t.Fatal("it is full")
	}
	for range 2 { // twice is as once
		if ok {
			if err := mirror.apply(e.Data); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func state(f *Feed) string {
	at := Position{}
	messages, deltas, _ := f.News(&at)
	b, err := json.Marshal([]any{messages, deltas, at})
	if err != nil {
		return err.Error()
	}
	return string(b)
}

// FuzzApply: whatever another instance publishes, nothing breaks.
func FuzzApply(f *testing.F) {
	f.Add([]byte(`{"v":3,"n":0,"m":[{"id":"a","turn":1,"role":"assistant","kind":"text","text":"x"}],"d":[{"id":"b","v":3,"at":2,"t":"yz"}]}`))
	f.Add([]byte(`{"v":1,"n":-1,"m":[{}],"d":[{"id":"b","v":3,"at":-2}]}`))
	f.Fuzz(func(_ *testing.T, data []byte) {
		mirror := &Feed{fence: 1, writing: []Delta{{Message: "b", Text: "xx", Version: 1}}}
		_ = mirror.apply(data)
		mirror.News(&Position{})
	})
}

// FuzzParsePosition: an id of ours is read as it was written, and anything else is the
// beginning.
func FuzzParsePosition(f *testing.F) {
	f.Add("3-2-17")
	f.Add("-1--2-3")
	f.Fuzz(func(t *testing.T, s string) {
		if p := ParsePosition(s); p != (Position{}) && p.String() != s || p.Messages < 0 || p.Version < 0 {
			t.Errorf("%q is read as %+v", s, p)
		}
	})
}

// What a turn publishes is bounded: deltas end first, then everything.
func TestPublishedBytesAreBounded(t *testing.T) {
	own := &Feed{}
	p := publisher{feed: own}
	total, deltas := 0, 0
	big := string(make([]byte, 4<<10))
	for n := range 1000 {
		own.write("a", big[n:]) // never grows, so that all of it is published each time
		e, ok, full := p.next()
		if full {
			break
		}
		if !ok {
			continue
		}
		total += len(e.Data)
		var sent published
		if err := json.Unmarshal(e.Data, &sent); err != nil {
			t.Fatal(err)
		}
		deltas += len(sent.Writing)
	}
	if total > maxPublished || deltas == 0 || deltas == 1000 {
		t.Errorf("%d bytes with %d deltas", total, deltas)
	}
}
