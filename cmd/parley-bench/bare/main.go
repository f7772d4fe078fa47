// Command bare is the least that does Parley's work: net/http and go-redis, two
// round trips of plain commands and one call of the agent for a turn. It has no
// sign-in, telemetry, log, atomicity, limit or timeout, so it is of no use but
// as what Parley is measured against.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"net"
	"net/http"
	_ "net/http/pprof" // allocations are read there, as they are from Parley
	"os"
	"strings"
	"time"

	"github.com/google/uuid"
	goredis "github.com/redis/go-redis/v9"
)

const (
	kept    = 24 * time.Hour // as REDIS_TTL is
	page    = 200            // messages in one answer
	listed  = 50             // conversations in one
	maxBody = 256 << 10      // bytes of a request
)

type bare struct {
	rdb   *goredis.Client
	agent agent
}

func main() {
	redis := flag.String("redis", "", "URL of the Redis")
	url := flag.String("agent", "", "URL of the agent, up to and with /conversations")
	admin := flag.String("admin", "", "address of the port for profiles")
	flag.Parse()
	if err := serve(*redis, *url, *admin); err != nil {
		fmt.Fprintln(os.Stderr, "bare:", err)
		os.Exit(1)
	}
}

func serve(redis, url, admin string) error {
	opt, err := goredis.ParseURL(redis)
	if err != nil {
		return err
	}
	opt.PoolSize, opt.MaxRetries = 32, -1 // as Parley's are
	b := &bare{rdb: goredis.NewClient(opt), agent: newAgent(url)}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /api/chat/start", b.start)
	mux.HandleFunc("POST /api/chat/send", b.send)
	mux.HandleFunc("POST /api/chat/card-action", b.send)
	mux.HandleFunc("POST /api/chat/orchestrate", b.orchestrate)
	mux.HandleFunc("GET /api/chat/conversations", b.list)
	mux.HandleFunc("GET /api/chat/conversations/{id}", b.get)
	ctx := context.Background()
	web, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	profiles, err := (&net.ListenConfig{}).Listen(ctx, "tcp", admin)
	if err != nil {
		return err
	}
	limits := func(h http.Handler) *http.Server {
		return &http.Server{Handler: h, ReadHeaderTimeout: 10 * time.Second}
	}
	go func() { _ = limits(http.DefaultServeMux).Serve(profiles) }()
	fmt.Fprintf(os.Stdout, "bare is listening on http://%s\n", web.Addr())
	return limits(mux).Serve(web)
}

type message struct {
	ID   string `json:"id"`
	Role string `json:"role"`
	Kind string `json:"kind"`
	Text string `json:"text"`
}

type answer struct {
	ConversationID string    `json:"conversationId"`
	Messages       []message `json:"messages"`
}

func newMessage(role, text string) message { return message{uuid.NewString(), role, "text", text} }

func now() string { return time.Now().UTC().Format("2006-01-02T15:04:05.000Z") }

// keys are a conversation's own two.
func keys(id string) (conversation, messages string) { return "bare:c:" + id, "bare:m:" + id }

// What is kept for all conversations: their order, and what a list shows.
const index, summaries = "bare:ix", "bare:s"

func encode(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err) // of a type of this file
	}
	return b
}

// begin is the first round trip of a turn: what the user said, and the fields.
func (b *bare) begin(ctx context.Context, id string, isNew bool, input *message) (upstream string, err error) {
	conversation, messages := keys(id)
	pipe := b.rdb.Pipeline()
	if isNew {
		pipe.HSet(ctx, conversation, "createdAt", now(), "status", "active")
		pipe.PExpire(ctx, conversation, kept)
	}
	if input != nil {
		pipe.RPush(ctx, messages, encode(input))
	}
	known := pipe.HMGet(ctx, conversation, "upstreamId", "status", "createdAt")
	if _, err = pipe.Exec(ctx); err != nil {
		return "", err
	}
	upstream, _ = known.Val()[0].(string)
	return upstream, nil
}

// complete is the second: what the agent said, the fields, the index and the times to live.
func (b *bare) complete(ctx context.Context, id, upstream string, answer []message) error {
	conversation, messages := keys(id)
	at := time.Now()
	pipe := b.rdb.Pipeline()
	if len(answer) > 0 {
		elements := make([]any, len(answer))
		for i, m := range answer {
			elements[i] = encode(m)
		}
		pipe.RPush(ctx, messages, elements...)
	}
	pipe.HSet(ctx, conversation, "upstreamId", upstream, "updatedAt", now())
	pipe.HIncrBy(ctx, conversation, "turns", 1)
	pipe.ZAdd(ctx, index, goredis.Z{Score: float64(at.UnixMilli()), Member: id})
	pipe.HSet(ctx, summaries, id, now()+" active")
	for _, key := range []string{conversation, messages, index, summaries} {
		pipe.PExpire(ctx, key, kept)
	}
	_, err := pipe.Exec(ctx)
	return err
}

func (b *bare) start(w http.ResponseWriter, r *http.Request) {
	id := uuid.NewString()
	if _, err := b.begin(r.Context(), id, true, nil); err != nil {
		fail(w, err)
		return
	}
	b.finish(w, r, id, "", starting(true))
}

func (b *bare) send(w http.ResponseWriter, r *http.Request) {
	var in struct {
		ConversationID, Text, UserSummary, CardID string
		SubmitData                                map[string]any
	}
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBody)).Decode(&in); err != nil {
		fail(w, err)
		return
	}
	if in.UserSummary != "" {
		in.Text, in.SubmitData["cardId"] = in.UserSummary, in.CardID
	}
	m := newMessage("user", in.Text)
	upstream, err := b.begin(r.Context(), in.ConversationID, false, &m)
	if err == nil && upstream == "" {
		err = fmt.Errorf("there is no conversation %q", in.ConversationID)
	}
	if err != nil {
		fail(w, err)
		return
	}
	b.finish(w, r, in.ConversationID, upstream, turn(upstream, in.Text, in.SubmitData))
}

func (b *bare) orchestrate(w http.ResponseWriter, r *http.Request) {
	var in struct{ Query string }
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBody)).Decode(&in); err != nil {
		fail(w, err)
		return
	}
	id, m := uuid.NewString(), newMessage("user", in.Query)
	_, err := b.begin(r.Context(), id, true, &m)
	var upstream string
	if err == nil {
		upstream, err = b.agent.ask(r.Context(), "", starting(false), func(message) {})
	}
	if err != nil {
		fail(w, err)
		return
	}
	b.finish(w, r, id, upstream, turn(upstream, in.Query, nil))
}

// finish asks the agent, stores what it says, and answers: with everything at
// the end, or with each message as it comes.
func (b *bare) finish(w http.ResponseWriter, r *http.Request, id, upstream string, asked request) {
	stream := strings.Contains(r.Header.Get("Accept"), "text/event-stream")
	all := answer{ConversationID: id}
	tell := func(event string, v any) {
		fmt.Fprintf(w, "event: %s\ndata: %s\n\n", event, encode(v))
		_ = http.NewResponseController(w).Flush()
	}
	if stream {
		w.Header().Set("Content-Type", "text/event-stream")
	}
	upstream, err := b.agent.ask(r.Context(), upstream, asked, func(m message) {
		all.Messages = append(all.Messages, m)
		if stream {
			tell("message", m)
		}
	})
	if err == nil {
		err = b.complete(r.Context(), id, upstream, all.Messages)
	}
	switch {
	case err != nil:
		fail(w, err)
	case stream:
		tell("done", all)
	default:
		reply(w, all)
	}
}

func (b *bare) list(w http.ResponseWriter, r *http.Request) {
	ids, err := b.rdb.ZRangeArgs(r.Context(), goredis.ZRangeArgs{Key: index, Start: 0, Stop: listed - 1, Rev: true}).Result()
	if err != nil || len(ids) == 0 {
		reply(w, map[string]any{"conversations": []string{}})
		return
	}
	values, err := b.rdb.HMGet(r.Context(), summaries, ids...).Result()
	if err != nil {
		fail(w, err)
		return
	}
	type summary struct {
		ConversationID string `json:"conversationId"`
		UpdatedAt      string `json:"updatedAt"`
		Status         string `json:"status"`
	}
	out := make([]summary, len(ids))
	for i, id := range ids {
		text, _ := values[i].(string)
		out[i].ConversationID = id
		out[i].UpdatedAt, out[i].Status, _ = strings.Cut(text, " ")
	}
	reply(w, map[string]any{"conversations": out})
}

func (b *bare) get(w http.ResponseWriter, r *http.Request) {
	conversation, messages := keys(r.PathValue("id"))
	pipe := b.rdb.Pipeline()
	fields := pipe.HGetAll(r.Context(), conversation)
	elements := pipe.LRange(r.Context(), messages, -page, -1)
	if _, err := pipe.Exec(r.Context()); err != nil {
		fail(w, err)
		return
	}
	out := make([]json.RawMessage, len(elements.Val()))
	for i, e := range elements.Val() {
		out[i] = json.RawMessage(e)
	}
	reply(w, map[string]any{"conversationId": r.PathValue("id"), "status": fields.Val()["status"], "messages": out})
}

func reply(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(encode(v))
}

func fail(w http.ResponseWriter, err error) {
	http.Error(w, err.Error(), http.StatusInternalServerError)
}
