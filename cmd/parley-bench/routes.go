//go:build linux

package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
)

const (
	plainJSON   = "application/json"
	eventStream = "text/event-stream"
	// What an answer holds that is one.
	someMessage      = `"messages":[{`
	someConversation = `"conversations":[{`
	lastEvent        = "event: done"
)

// cell is a route with a number of connections.
type cell struct {
	Route       string `json:"route"`
	Connections int    `json:"connections"`
	Judged      bool   `json:"judged"` // it has targets

	holds string
	// request prepares what a connection asks again and again; it may ask for what that needs.
	request func(s *subject, c *caller) ([]byte, error)
}

// usual is the number of connections of all that does not say otherwise, and of
// everything that has a target.
const usual = 16

// cells are everything that is measured in a round, the judged route first. What makes conversations comes
// last, because a list is longer afterwards.
func (p plan) cells() []cell {
	send := func(connections int) cell {
		return cell{
			Route: "POST send", Connections: connections, Judged: connections == usual, holds: someMessage,
			request: inConversation("/api/chat/send", plainJSON, `"text":"hello there"`),
		}
	}
	all := []cell{
		send(usual), send(64), send(256),
		{Route: "POST send, stream", Connections: usual, holds: lastEvent, request: inConversation("/api/chat/send", eventStream, `"text":"hello there"`)},
		{Route: "POST card-action", Connections: usual, holds: someMessage, request: inConversation("/api/chat/card-action", plainJSON,
			`"cardId":"order","userSummary":"two desks","submitData":{"action":"Action.Submit","product":"desk","quantity":2}`)},
		{Route: "GET conversations", Connections: usual, holds: someConversation, request: always(http.MethodGet, "/api/chat/conversations", "")},
	}
	for _, n := range p.Reads {
		all = append(all, cell{
			Route: fmt.Sprintf("GET conversation of %d", n), Connections: usual, holds: someMessage,
			request: func(s *subject, c *caller) ([]byte, error) {
				return c.request(http.MethodGet, "/api/chat/conversations/"+s.reads[n], plainJSON, ""), nil
			},
		})
	}
	all = append(all,
		cell{Route: "POST start", Connections: usual, Judged: true, holds: someMessage, request: always(http.MethodPost, "/api/chat/start", "{}")},
		cell{Route: "POST orchestrate", Connections: usual, holds: someMessage, request: always(http.MethodPost, "/api/chat/orchestrate", `{"query":"hello there"}`)},
	)
	if p.JudgedOnly {
		all = slices.DeleteFunc(all, func(c cell) bool { return !c.Judged })
	}
	return all
}

// always asks the same.
func always(method, path, body string) func(*subject, *caller) ([]byte, error) {
	return func(_ *subject, c *caller) ([]byte, error) { return c.request(method, path, plainJSON, body), nil }
}

// inConversation begins a conversation of the connection's own, and says something in it.
func inConversation(path, accept, fields string) func(*subject, *caller) ([]byte, error) {
	return func(_ *subject, c *caller) ([]byte, error) {
		id, err := c.startConversation()
		return c.request(http.MethodPost, path, accept, fmt.Sprintf(`{"conversationId":%q,%s}`, id, fields)), err
	}
}

func (c *caller) startConversation() (id string, err error) {
	if err := c.call(c.request(http.MethodPost, "/api/chat/start", plainJSON, "{}"), someMessage); err != nil {
		return "", err
	}
	var started struct{ ConversationID string }
	err = json.Unmarshal(c.body.Bytes(), &started)
	return started.ConversationID, err
}
