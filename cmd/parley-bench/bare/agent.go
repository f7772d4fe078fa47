package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
)

// agent is the protocol of the agent, as far as it is needed: one request, and
// events until the one that is called end.
type agent struct {
	url  string
	http *http.Client
}

func newAgent(url string) agent {
	return agent{url, &http.Client{Transport: &http.Transport{
		MaxIdleConns: 512, MaxIdleConnsPerHost: 512, DisableCompression: true, // as Parley's
	}}}
}

// request is what the agent is asked: to begin a conversation, or for a turn.
type request struct {
	Emit     *bool     `json:"emitStartConversationEvent,omitempty"`
	Activity *activity `json:"activity,omitempty"`
}

type activity struct {
	Type         string         `json:"type"`
	Text         string         `json:"text"`
	TextFormat   string         `json:"textFormat"`
	From         user           `json:"from"`
	Conversation conversation   `json:"conversation"`
	ChannelData  *postBack      `json:"channelData,omitempty"`
	Value        map[string]any `json:"value,omitempty"`
}

type user struct {
	Role string `json:"role"`
}

type conversation struct {
	ID string `json:"id"`
}

type postBack struct {
	PostBack bool `json:"postBack"`
}

// starting begins a conversation, with or without a greeting.
func starting(greets bool) request { return request{Emit: &greets} }

// turn is what is sent for something that the user said, or a card that was submitted.
func turn(upstream, text string, value map[string]any) request {
	a := &activity{Type: "message", Text: text, TextFormat: "plain", From: user{"user"}, Conversation: conversation{upstream}, Value: value}
	if value != nil {
		a.ChannelData = &postBack{true}
	}
	return request{Activity: a}
}

// ask sends a request and hands over each message of the answer. It gives the
// agent's id of the conversation.
func (a agent) ask(ctx context.Context, upstream string, body request, heard func(message)) (string, error) {
	path, query, _ := strings.Cut(a.url, "?")
	if upstream != "" {
		path += "/" + upstream
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, path+"?"+query, bytes.NewReader(encode(body)))
	if err != nil {
		return "", err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", "text/event-stream")
	req.Header.Set("Authorization", "Bearer stub")
	resp, err := a.http.Do(req)
	if err != nil {
		return "", err
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return "", fmt.Errorf("the agent answers %s", resp.Status)
	}
	event := ""
	lines := bufio.NewScanner(resp.Body)
	for lines.Scan() {
		name, value, _ := bytes.Cut(lines.Bytes(), []byte(": "))
		switch string(name) {
		case "event":
			event = string(value)
		case "data":
			var said activity
			if event != "activity" {
				continue
			}
			if err := json.Unmarshal(value, &said); err != nil {
				return "", err
			}
			if said.Type == "message" && said.Text != "" {
				heard(newMessage("assistant", said.Text))
			}
		}
	}
	return resp.Header.Get("X-Ms-Conversationid"), lines.Err()
}
