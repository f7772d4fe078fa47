package copilot

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// The activities of a sequence. Texts are JSON strings without their quotes, so
// that they can hold escapes.
func typing(id, text string, seq int, extra string) string {
	return fmt.Sprintf(`{"type":"typing","id":%q,"text":"%s","channelData":{"streamType":"streaming","streamSequence":%d%s}}`, id, text, seq, extra)
}

// delta is a piece that says that it is what comes next, snap one that does not
// say what it is. The stream may be empty.
func delta(id, stream, text string, seq int) string {
	return typing(id, text, seq, `,"chunkType":"delta"`+of(stream))
}
func snap(id, stream, text string, seq int) string { return typing(id, text, seq, of(stream)) }

func of(stream string) string {
	if stream == "" {
		return ""
	}
	return fmt.Sprintf(`,"streamId":%q`, stream)
}

// says is a message; final one that says that it is the end of a stream.
func says(id, text string) string {
	return fmt.Sprintf(`{"type":"message","id":%q,"text":"%s"}`, id, text)
}

func final(id, stream, text string) string {
	return fmt.Sprintf(`{"type":"message","id":%q,"text":"%s","channelData":{"streamType":"final"%s}}`, id, text, of(stream))
}

// TestSequences: for each way in which agents write texts, what a reader sees of
// it and which messages there are in the end. A ~ marks one that is incomplete.
func TestSequences(t *testing.T) {
	const emoji = "😀"
	tests := []struct {
		name   string
		sent   []string
		shown  []string
		stored []string
	}{
		// Characters that are cut.
		{"surrogates apart", []string{delta("s", "", `Hi \ud83d`, 1), delta("2", "s", `\ude00!`, 2), final("f", "s", "Hi "+emoji+"!")}, []string{"Hi ", "Hi " + emoji + "!"}, []string{"Hi " + emoji + "!"}},
		{"surrogates apart, no end", []string{delta("s", "", `Hi \ud83d`, 1), delta("2", "s", `\ude00!`, 2)}, []string{"Hi ", "Hi " + emoji + "!"}, []string{"~Hi " + emoji + "!"}},
		{"surrogates apart, upside down", []string{delta("1", "s", "Hi ", 1), delta("3", "s", `\uDE00!`, 3), delta("2", "s", `\uD83D`, 2)}, []string{"Hi ", "Hi !", "Hi " + emoji + "!"}, []string{"~Hi " + emoji + "!"}},
		{"a character after whole ones", []string{delta("s", "", "a", 1), delta("2", "s", `\ud83d`, 2), delta("3", "s", `\ude00`, 3)}, []string{"a", "a" + emoji}, []string{"~a" + emoji}},
		{"only half a surrogate", []string{delta("s", "", `\ud83d`, 1), delta("2", "s", ` x`, 2)}, []string{" x"}, []string{"~ x"}},
		{"half at the end", []string{delta("s", "", `Hi\ud83d`, 1)}, []string{"Hi"}, []string{"~Hi"}},
		{"half, twice", []string{delta("s", "", `\ud83d`, 1), delta("s", "", `\ud83d`, 1), delta("2", "s", `\ude00`, 2)}, []string{emoji}, []string{"~" + emoji}},
		{"bytes apart", []string{delta("s", "", "Hi \xf0\x9f", 1), delta("2", "s", "\x98\x80!", 2)}, []string{"Hi ", "Hi " + emoji + "!"}, []string{"~Hi " + emoji + "!"}},
		{"every byte apart", []string{delta("s", "", "\xf0", 1), delta("2", "s", "\x9f", 2), delta("3", "s", "\x98", 3), delta("4", "s", "\x80", 4)}, []string{emoji}, []string{"~" + emoji}},
		{"snapshots that end in half", []string{snap("s", "", `Hi \ud83d`, 1), snap("2", "s", `Hi \ud83d\ude00`, 2), snap("3", "s", `Hi \ud83d\ude00 \ud83d`, 3)}, []string{"Hi ", "Hi " + emoji, "Hi " + emoji + " "}, []string{"~Hi " + emoji + " "}},
		{"a family, a flag, an accent", []string{delta("s", "", "👨\u200d", 1), delta("2", "s", "👧 🇹", 2), delta("3", "s", "🇷 e", 3), delta("4", "s", "\u0301", 4)}, []string{"👨\u200d", "👨\u200d👧 🇹", "👨\u200d👧 🇹🇷 e", "👨\u200d👧 🇹🇷 e\u0301"}, []string{"~👨\u200d👧 🇹🇷 e\u0301"}},
		{"the agent's own replacement", []string{delta("s", "", "a\ufffd", 1)}, []string{"a\ufffd"}, []string{"~a\ufffd"}},

		// Snapshots.
		{"cumulative", []string{snap("s", "", "Mer", 1), snap("2", "s", "Merhaba", 2), final("f", "s", "Merhaba!")}, []string{"Mer", "Merhaba"}, []string{"Merhaba!"}},
		{"cumulative, no end", []string{snap("s", "", "Mer", 1), snap("2", "s", "Merhaba", 2)}, []string{"Mer", "Merhaba"}, []string{"~Merhaba"}},
		{"takes back", []string{snap("s", "", "Hello", 1), snap("2", "s", "Hello wor", 2), snap("3", "s", "Hello w", 3), snap("4", "s", "Hello World", 4)}, []string{"Hello", "Hello wor", "Hello w", "Hello World"}, []string{"~Hello World"}},
		{"takes back at once", []string{snap("s", "", "Hello wor", 1), snap("2", "s", "Hello w", 2)}, []string{"Hello wor", "Hello w"}, []string{"~Hello w"}},
		{"revised at once", []string{snap("s", "", "Helo", 1), snap("2", "s", "Hello there", 2)}, []string{"Helo", "Hello there"}, []string{"~Hello there"}},
		{"revised later, from the start", []string{snap("s", "", "I think", 1), snap("2", "s", "I think so", 2), snap("3", "s", "No.", 3)}, []string{"I think", "I think so", "No."}, []string{"~No."}},
		{"an accent is added", []string{snap("s", "", "Cafe", 1), snap("2", "s", "Café", 2)}, []string{"Cafe", "Café"}, []string{"~Café"}},
		{"unnumbered", []string{snap("1", "s", "a b", 0), snap("2", "s", "a b c", 0), snap("3", "s", "a b", 0)}, []string{"a b", "a b c", "a b"}, []string{"~a b"}},
		{"snapshots out of order", []string{snap("2", "s", "Merhaba", 2), snap("1", "s", "Mer", 1), snap("4", "s", "Merhaba sana!", 4), snap("3", "s", "Merhaba s", 3)}, []string{"Merhaba", "Merhaba sana!"}, []string{"~Merhaba sana!"}},
		{"a revised one comes late", []string{snap("1", "s", "Hello wor", 1), snap("3", "s", "Hello World", 3), snap("2", "s", "Hello worl", 2)}, []string{"Hello wor", "Hello World"}, []string{"~Hello World"}},
		{"deltas, then a snapshot", []string{delta("s", "", "a", 1), delta("2", "s", "b", 2), snap("3", "s", "abc", 3), delta("4", "s", "d", 4)}, []string{"a", "ab", "abc", "abcd"}, []string{"~abcd"}},
		{"unmarked deltas that repeat", []string{snap("s", "", "the ", 1), snap("2", "s", "cat and ", 2), snap("3", "s", "the ", 3), snap("4", "s", "dog", 4)}, []string{"the ", "the cat and ", "the cat and the ", "the cat and the dog"}, []string{"~the cat and the dog"}},
		{"marked deltas that repeat", []string{delta("s", "", "ha", 1), delta("2", "s", "ha", 2), delta("3", "s", "haha", 3)}, []string{"ha", "haha", "hahahaha"}, []string{"~hahahaha"}},

		// Numbers.
		{"out of order and twice", []string{delta("1", "s", "a", 1), delta("3", "s", "c", 3), delta("3", "s", "c", 3), delta("2", "s", "b", 2), delta("1", "s", "a", 1)}, []string{"a", "ac", "abc"}, []string{"~abc"}},
		{"the end comes first", []string{final("f", "s", "ab"), delta("1", "s", "a", 1), delta("2", "s", "b", 2)}, nil, []string{"ab"}},
		{"the end comes in between", []string{delta("s", "", "a", 1), final("f", "s", "abc"), delta("3", "s", "c", 3), delta("2", "s", "b", 2)}, []string{"a"}, []string{"abc"}},
		{"the end comes in between, unnamed pieces", []string{delta("1", "", "a", 1), final("f", "", "abc"), delta("3", "", "c", 3), delta("2", "", "b", 2)}, []string{"a"}, []string{"abc"}},

		// Names.
		{"no piece is named", []string{delta("1", "", "a", 1), delta("2", "", "b", 2), delta("3", "", "c", 3), final("f", "", "abc")}, []string{"a", "ab", "abc"}, []string{"abc"}},
		{"no piece is named or numbered", []string{delta("1", "", "a", 0), delta("2", "", "b", 0)}, []string{"a", "ab"}, []string{"~ab"}},
		{"no piece is named, no end", []string{delta("1", "", "a", 1), delta("2", "", "b", 2)}, []string{"a", "ab"}, []string{"~ab"}},
		{"no piece is named, out of order", []string{delta("2", "", "b", 2), delta("1", "", "a", 1), delta("3", "", "c", 3)}, []string{"b", "ab", "abc"}, []string{"~abc"}},
		{"named otherwise than begun", []string{delta("1", "", "a", 1), delta("2", "s", "b", 2), final("f", "s", "ab.")}, []string{"a", "ab"}, []string{"ab."}},
		{"only the end is named", []string{delta("1", "", "a", 1), delta("2", "", "b", 2), final("f", "s", "abc")}, []string{"a", "ab"}, []string{"abc"}},
		{"two unnamed beginnings", []string{delta("a", "", "one", 1), delta("b", "", "two", 1), delta("2", "a", "!", 2), delta("3", "b", "?", 2), final("f", "b", "two?"), final("g", "a", "one!")}, []string{"one", "two", "one!", "two?"}, []string{"two?", "one!"}},
		{"two texts, ends unnamed", []string{delta("1", "s", "one", 1), delta("1", "t", "two", 1), final("f", "", "two."), final("g", "", "one.")}, []string{"one", "two"}, []string{"two.", "one."}},

		// Ends.
		{"end without a name", []string{delta("s", "", "a b", 1), says("m", "a b c")}, []string{"a b"}, []string{"a b c"}},
		{"revised end without a name", []string{delta("s", "", "eleven dys it takes", 1), says("m", "eleven days it takes.")}, []string{"eleven dys it takes"}, []string{"eleven days it takes."}},
		{"end that says other words", []string{delta("s", "", "a b", 1), final("f", "", "Sorry.")}, []string{"a b"}, []string{"Sorry."}},
		{"end without a text", []string{delta("s", "", "a b", 1), final("f", "s", "")}, []string{"a b"}, []string{"a b"}},
		{"end that is the last piece", []string{delta("s", "", "a b", 1), strings.Replace(final("f", "s", " c"), `"streamType"`, `"chunkType":"delta","streamType"`, 1)}, []string{"a b"}, []string{"a b c"}},
		{"end that is marked as a piece and whole", []string{delta("s", "", "a b", 1), strings.Replace(final("f", "s", "a b c"), `"streamType"`, `"chunkType":"delta","streamType"`, 1)}, []string{"a b"}, []string{"a b c"}},
		{"end twice", []string{delta("s", "", "a", 1), final("f", "s", "ab"), final("f", "s", "ab")}, []string{"a"}, []string{"ab"}},
		{"end twice, under two ids", []string{delta("s", "", "a", 1), final("f", "s", "ab"), final("g", "s", "ab")}, []string{"a"}, []string{"ab"}},
		{"a message twice", []string{says("m", "a"), says("m", "a"), says("n", "a")}, nil, []string{"a", "a"}},
		{"no end, but said elsewhere", []string{delta("1", "s", "a b", 1), delta("1", "t", "x", 1), says("m", "See: a b. And x.")}, []string{"a b", "x"}, []string{"See: a b. And x."}},
		{"another message beside", []string{delta("s", "", "a b", 1), says("m", "Anything else?")}, []string{"a b"}, []string{"Anything else?", "~a b"}},
		{"pieces that are messages", []string{strings.Replace(delta("s", "", "a", 1), "typing", "message", 1), strings.Replace(delta("2", "s", "b", 2), "typing", "message", 1), final("f", "s", "ab.")}, []string{"a", "ab"}, []string{"ab."}},
		{"status lines", []string{`{"type":"typing","id":"i","text":"Searching","channelData":{"streamType":"informative","streamSequence":1}}`, delta("i-1", "i", "a", 2), final("f", "i", "ab")}, []string{"a"}, []string{"ab"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			shown, stored := play(t, tt.sent)
			if !slices.Equal(shown, tt.shown) {
				t.Errorf("shown  %q\nwant   %q", shown, tt.shown)
			}
			if !slices.Equal(stored, tt.stored) {
				t.Errorf("stored %q\nwant   %q", stored, tt.stored)
			}
		})
	}
}

// play reads activities as an answer, and gives what is shown and stored of it.
func play(t *testing.T, sent []string) (shown, stored []string) {
	t.Helper()
	r := &response{sent: "c", yield: func(e Event, _ error) bool {
		switch e.Kind {
		case EventDelta:
			shown = append(shown, e.Text)
		case EventMessage:
			mark := ""
			if e.Message.Incomplete {
				mark = "~"
			}
			stored = append(stored, mark+e.Message.Text)
		case EventConversation, EventEnded:
		}
		return true
	}}
	if err := r.identify("c"); err != nil {
		t.Fatal(err)
	}
	for _, a := range sent {
		if err := r.activity([]byte(a)); err != nil {
			t.Fatal(err)
		}
	}
	if r.skipped > 0 {
		t.Errorf("%d activities could not be read", r.skipped)
	}
	if err := r.finish(); err != nil {
		t.Fatal(err)
	}
	return shown, stored
}
