package emulator

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
)

// fill writes n bytes of text, as long as the client listens.
func (t *turn) fill(n int) {
	block := strings.Repeat("x", 64<<10)
	for n > 0 && t.ctx.Err() == nil {
		k := min(n, len(block))
		if _, err := t.w.Write([]byte(block[:k])); err != nil {
			return
		}
		n -= k
	}
}

// hangUp breaks the connection. The server takes this panic as that wish.
func hangUp() { panic(http.ErrAbortHandler) }

const maxOversize = 256 << 20

// faults are the commands whose answer is not as it should be.
func faults() []command {
	return []command{
		{name: "/cut", about: "half an answer, then the connection breaks", run: func(t *turn) {
			t.say(fmt.Sprintf("There is more to say (turn %d)", t.Turn))
			hangUp()
		}},
		{name: "/mid-cut", about: "the connection breaks in the middle of an activity", run: func(t *turn) {
			half := string(encode(t.message("half of an activity")))
			t.raw("event: activity\ndata: " + half[:len(half)/2])
			hangUp()
		}},
		{name: "/hang-up", about: "the connection breaks before any answer", run: func(*turn) { hangUp() }},
		{name: "/no-end", about: "an answer without the event that ends it", run: func(t *turn) {
			t.say(fmt.Sprintf("That is all (turn %d).", t.Turn))
		}},
		{name: "/silent", about: "headers, and then nothing until the client leaves", run: func(t *turn) {
			t.open()
			<-t.ctx.Done()
		}},
		{name: "/stall", about: "one message, and then nothing until the client leaves", run: func(t *turn) {
			t.say("One moment please.")
			<-t.ctx.Done()
		}},
		{name: "/nothing", about: "not even headers until the client leaves", run: func(t *turn) { <-t.ctx.Done() }},
		{name: "/endless", args: "[duration]", about: "messages without end, that far apart", run: func(t *turn) {
			d, _ := t.duration(0)
			for i := 1; t.say("Message " + strconv.Itoa(i)); i++ {
				if d > 0 && !t.wait(d) {
					return
				}
			}
		}},
		{name: "/oversize", args: "[bytes]", about: "one activity of that size (9 MiB)", run: func(t *turn) {
			n, err := strconv.Atoi(t.arg)
			if err != nil || n < 0 || n > maxOversize {
				n = 9 << 20
			}
			t.raw("event: activity\ndata: {\"type\":\"message\",\"text\":\"")
			t.fill(n)
			t.raw("\"}\n\n")
			t.end()
		}},
		{name: "/garbage", about: "an activity that is not JSON", run: func(t *turn) {
			t.frame("activity", `{"type":"message","text":`)
			t.end()
		}},
		{name: "/garbage-one", about: "the same, between two that are", run: func(t *turn) {
			t.say("Before.")
			t.frame("activity", `{"type":"message","text":`)
			t.say("After.")
			t.end()
		}},
		{name: "/html", about: "a web page", run: func(t *turn) {
			t.w.Header().Set("Content-Type", "text/html; charset=utf-8")
			_, _ = t.w.Write([]byte("<!doctype html><title>Sign in</title>"))
		}},
		{name: "/no-type", about: "an answer without a content type", run: func(t *turn) {
			t.w.Header()["Content-Type"] = nil
			t.say("What am I?")
			t.end()
		}},
		{name: "/no-id", about: "an answer whose headers do not name the conversation", run: func(t *turn) {
			t.w.Header()[idHeader] = nil
			t.say(fmt.Sprintf("Who am I? (turn %d)", t.Turn))
			t.end()
		}},
		{name: "/bad-id", about: "an answer whose headers name a conversation with an impossible id", run: func(t *turn) {
			t.w.Header().Set(idHeader, "../admin?x=1")
			t.say("Who am I?")
			t.end()
		}},
		{name: "/error-event", args: "[code]", about: "an event named error", run: func(t *turn) {
			t.say("So far so good.")
			t.frame("error", string(encode(map[string]any{"error": map[string]any{
				"code": first(t.arg, "InternalServerError"), "message": "emulated",
			}})))
		}},
		{name: "/done", about: "an answer ended by [DONE]", run: func(t *turn) {
			t.say(fmt.Sprintf("Done (turn %d).", t.Turn))
			t.raw("data: [DONE]\n\n")
		}},
		{name: "/odd", about: "an answer written in every way that the stream format allows", run: func(t *turn) {
			a := string(encode(t.message(fmt.Sprintf("Odd but right (turn %d).", t.Turn))))
			at := strings.Index(a, ",") + 1 // between two members a line may break
			t.raw("\xef\xbb\xbf: a comment\r\nretry: 5\r\nid: 7\r\n\r\n")
			t.raw("event: Activity\ndata: {}\n\nevent: other\ndata: x\n\ndata: no name\n\n")
			t.raw("data:" + a[:at] + "\r\ndata: " + a[at:] + "\r\nevent:activity\r\n\r\n")
			t.raw("unknown: field\revent: end\r\r")
			t.say("after the end")
		}},
	}
}
