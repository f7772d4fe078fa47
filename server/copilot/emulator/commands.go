package emulator

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// command is something that the emulator can be told to do.
type command struct {
	name    string // with its slash
	args    string
	about   string
	refuses bool // the turn does not take place
	forgets bool // the conversation is forgotten first
	run     func(*turn)
}

// find reads a command from what was said. The command may stand on any line,
// since callers put blocks of context around the user's text.
func (e *Emulator) find(said string) (*command, string) {
	if !strings.Contains(said, "/") {
		return nil, ""
	}
	for line := range strings.Lines(said) {
		line = strings.TrimSpace(line)
		if !strings.HasPrefix(line, "/") {
			continue
		}
		name, arg, _ := strings.Cut(line, " ")
		for i := range e.commands {
			if e.commands[i].name == name {
				return &e.commands[i], strings.TrimSpace(arg)
			}
		}
	}
	return nil, ""
}

// commands are all commands, in the order of /help.
func commands() []command {
	all := append(answers(), texts()...)
	all = append(all, faults()...)
	return append(all, refusals()...)
}

func answers() []command {
	return []command{
		{name: "/help", about: "list the commands", run: func(t *turn) {
			var b strings.Builder
			b.WriteString("What I can do:")
			for _, c := range t.e.commands {
				fmt.Fprintf(&b, "\n- `%s` %s", strings.TrimSpace(c.name+" "+c.args), c.about)
			}
			t.say(b.String())
			t.end()
		}},
		{name: "/card", about: "an adaptive card with an input and two actions", run: func(t *turn) {
			a := t.message("")
			a["attachments"] = []any{map[string]any{"contentType": "application/vnd.microsoft.card.adaptive", "content": card()}}
			t.send(a)
			t.end()
		}},
		{name: "/data", about: "data, and nothing to show", run: func(t *turn) {
			a := t.message("")
			a["value"] = map[string]any{"product": "Standing desk", "quantity": 2}
			t.send(a)
			t.end()
		}},
		{name: "/sign-in", about: "a sign-in card and nothing else", run: func(t *turn) {
			a := t.message("")
			a["attachments"] = []any{map[string]any{"contentType": "application/vnd.microsoft.card.oauth", "content": map[string]any{
				"text": "Please sign in", "connectionName": "desk", "buttons": []any{map[string]any{"type": "signin", "title": "Sign in", "value": "https://login.example/"}},
			}}}
			t.send(a)
			t.end()
		}},
		{name: "/two", about: "two messages", run: func(t *turn) {
			t.say(fmt.Sprintf("First of turn %d.", t.Turn))
			t.say(fmt.Sprintf("Second of turn %d.", t.Turn))
			t.end()
		}},
		{name: "/payload", args: "value|entities|text", about: "an answer with data in that place", run: func(t *turn) {
			data := map[string]any{"product": "Standing desk", "quantity": 2}
			a := t.message("I recommend the standing desk.")
			switch t.arg {
			case "entities":
				data["type"] = "recommendation"
				a["entities"] = []any{data, map[string]any{"type": "https://schema.org/Message", "additionalType": []any{"AIGeneratedContent"}}}
			case "text":
				a["text"] = "I recommend this:\n\n```json\n" + string(encode(data)) + "\n```"
			default:
				a["value"] = data
			}
			t.send(a)
			t.end()
		}},
		{name: "/error", args: "[code]", about: "the platform's words for a failure, in an ordinary message", run: func(t *turn) {
			t.say(fmt.Sprintf("Sorry, something went wrong. Error code: %s. Conversation ID: %s. Time (UTC): %s.",
				first(t.arg, "SystemError"), t.Conversation, time.Now().UTC().Format("1/2/2006 3:04:05 PM")))
			t.end()
		}},
		{name: "/end", about: "say goodbye and end the conversation", run: func(t *turn) {
			t.say("Goodbye.")
			a := t.activity("endOfConversation")
			a["code"] = "completedSuccessfully"
			t.send(a)
			t.end()
		}},
		{name: "/empty", about: "a turn without any activity", run: (*turn).end},
		{name: "/restart", about: "forget the conversation and answer in a new one", forgets: true, run: func(t *turn) {
			t.say(fmt.Sprintf("Have we met? (turn %d)", t.Turn))
			t.end()
		}},
		{name: "/noise", about: "typing, status, event, trace and an echo of the user around the answer", run: func(t *turn) {
			bare := t.activity("typing")
			delete(bare, "conversation")
			t.send(bare)
			status := t.activity("typing")
			status["text"] = "Searching…"
			status["entities"] = []any{streamInfo("", "informative", 1)}
			t.send(status)
			event := t.activity("event")
			event["name"], event["value"] = "DynamicPlanReceived", map[string]any{"steps": []any{"P:UniversalSearchTool"}}
			t.send(event)
			trace := t.activity("trace")
			trace["valueType"], trace["value"] = "SessionInfo", map[string]any{"outcome": "None"}
			t.send(trace)
			user := t.message("echo of the user")
			user["from"] = map[string]any{"id": "user", "role": "user"}
			t.send(user)
			t.say(fmt.Sprintf("That was noisy (turn %d).", t.Turn))
			t.end()
		}},
		{name: "/slow", args: "[duration]", about: "answer after that time (1s)", run: func(t *turn) {
			d, _ := t.duration(time.Second)
			t.open()
			if t.wait(d) {
				t.say(fmt.Sprintf("Sorry for the wait (turn %d).", t.Turn))
				t.end()
			}
		}},
		{name: "/heartbeat", args: "[duration] [n]", about: "n (3) comments that long (1s) apart, then the answer", run: func(t *turn) {
			d, rest := t.duration(time.Second)
			n := 3
			if v, err := strconv.Atoi(rest); err == nil {
				n = v
			}
			for range n {
				if !t.wait(d) || !t.raw(": still here\n\n") {
					return
				}
			}
			t.say(fmt.Sprintf("Still here (turn %d).", t.Turn))
			t.end()
		}},
		{name: "/json", about: "one JSON document in place of a stream", run: func(t *turn) {
			t.json = true
			t.say(fmt.Sprintf("In one piece (turn %d).", t.Turn))
			t.end()
		}},
	}
}

// duration reads one from the front of the arguments.
func (t *turn) duration(usual time.Duration) (time.Duration, string) {
	word, rest, _ := strings.Cut(t.arg, " ")
	if d, err := time.ParseDuration(word); err == nil && d >= 0 {
		return d, strings.TrimSpace(rest)
	}
	return usual, t.arg
}

func card() map[string]any {
	return map[string]any{
		"type": "AdaptiveCard", "$schema": "http://adaptivecards.io/schemas/adaptive-card.json", "version": "1.5",
		"body": []any{
			map[string]any{"type": "TextBlock", "text": "When did you apply?", "wrap": true},
			map[string]any{"type": "Input.Date", "id": "applied"},
		},
		"actions": []any{
			map[string]any{"type": "Action.Submit", "title": "Send", "data": map[string]any{"actionSubmitId": "sendDate"}},
			map[string]any{"type": "Action.OpenUrl", "title": "Read more", "url": "https://learn.microsoft.com/"},
		},
	}
}

func refusals() []command {
	return []command{
		{name: "/status", args: "code", about: "that HTTP status", refuses: true, run: func(t *turn) {
			status, err := strconv.Atoi(t.arg)
			switch {
			case err != nil || status < 200 || status > 599:
				t.say("/status needs a number from 200 to 599.")
				t.end()
			case status == http.StatusNoContent:
				t.w.Header().Set(idHeader, t.Conversation)
				t.w.WriteHeader(status)
			default:
				writeError(t.w, status, "Emulated", "as you wish")
			}
		}},
		{name: "/401", about: "status 401", refuses: true, run: func(t *turn) { unauthorized(t.w) }},
		{name: "/403", about: "status 403 for a missing permission", refuses: true, run: func(t *turn) {
			t.w.Header().Set("Content-Type", "application/json")
			t.w.WriteHeader(http.StatusForbidden)
			_, _ = t.w.Write(encode(map[string]any{
				"code": "Forbidden", "message": "The caller is not authorized to perform the request.",
				"innererror": map[string]any{"code": "InsufficientDelegatedPermissions", "message": "a permission is missing"},
			}))
		}},
		{name: "/429", args: "[retry-after]", about: "status 429; what follows goes into Retry-After as it is", refuses: true, run: func(t *turn) {
			if t.arg != "" {
				t.w.Header().Set("Retry-After", t.arg)
			}
			writeError(t.w, http.StatusTooManyRequests, "TooManyRequests", "slow down")
		}},
		{name: "/redirect", args: "[url]", about: "status 307 to there", refuses: true, run: func(t *turn) {
			t.w.Header().Set("Location", first(t.arg, "/elsewhere/conversations?api-version=1"))
			t.w.WriteHeader(http.StatusTemporaryRedirect)
		}},
		{name: "/huge-error", about: "status 500 with a body of 4 MiB", refuses: true, run: func(t *turn) {
			t.w.WriteHeader(http.StatusInternalServerError)
			t.fill(4 << 20)
		}},
	}
}
