package redis

import (
	"context"
	"crypto/sha1" //nolint:gosec // Redis names scripts by SHA-1
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"parley/store"
	"parley/store/internal/wire"
)

//go:embed scripts/*.lua
var scriptFiles embed.FS

// script is a Lua script and the name Redis knows it by.
type script struct{ text, sha string }

// constants are what every script of a store begins with: the TTL of conversations,
// and what package store says. Those that only Redis reads are strings, as it takes them.
func constants(ttl time.Duration) string {
	return fmt.Sprintf("local ttl, leaseMs, relayMs, hearing, joining, interest, maxKeys, leftKeys = %d, '%d', '%d', %d, %d, %d, %d, %d\n",
		ttl.Milliseconds(), store.LeaseTime.Milliseconds(), store.RelayTime.Milliseconds(), store.HearingTime.Milliseconds(),
		store.JoinTime.Milliseconds(), store.InterestTime.Milliseconds(), store.MaxKeys, store.KeptKeys)
}

// newScript puts a script together from constants and files of scripts/, which say what
// they need before them. A function that a script does not call is left out, because
// Redis makes all of them anew for each call.
func newScript(constants, parts string) script {
	var text strings.Builder
	text.WriteString(constants)
	for part := range strings.FieldsSeq(parts) {
		lines, err := scriptFiles.ReadFile("scripts/" + part + ".lua")
		if err != nil {
			panic(err) // a file of this program is missing
		}
		text.Write(lines)
		text.WriteByte('\n')
	}
	sum := sha1.Sum([]byte(text.String())) //nolint:gosec // not a security use
	return script{text: text.String(), sha: hex.EncodeToString(sum[:])}
}

// scripts are the writes of the store, one script each.
type scripts struct {
	begin, complete, fail, renew, status, del, imp script
	publish, follow, stop, prune                   script
}

func newScripts(ttl time.Duration) scripts {
	c := constants(ttl)
	return scripts{
		begin:    newScript(c, "prelude clock record write owner bounds keys forget begin"),
		complete: newScript(c, "prelude clock record write bounds keys complete"),
		fail:     newScript(c, "prelude clock record write fail"),
		renew:    newScript(c, "prelude clock record owner signals renew"),
		status:   newScript(c, "prelude clock record write status"),
		del:      newScript(c, "prelude delete"),
		imp:      newScript(c, "prelude clock record write bounds import"),
		publish:  newScript(c, "prelude clock record signals publish"),
		follow:   newScript(c, "prelude clock record follow"),
		stop:     newScript(c, "prelude record stop"),
		prune:    newScript(c, "prelude owner prune"),
	}
}

// once is a command that the client library must never send a second time by
// itself: after a lost answer the first may have run. Redirects of a cluster
// are still followed, because a redirected command has not run.
type once struct{ *goredis.Cmd }

// NoRetry is what the library asks before it repeats a command.
func (once) NoRetry() bool { return true }

// spot is the conversation that a script works on, and its keys.
type spot struct {
	owner store.Owner
	id    string
	keys  []string
	relay string
	// replicas is how many must have what the script wrote; 0 if nobody waits for them.
	replicas int
}

// at is a conversation's spot.
func (s *Store) at(o store.Owner, id string) spot {
	keys, relay := s.allKeys(o, id)
	return spot{owner: o, id: id, keys: keys, relay: relay}
}

// eval runs a script by name and, when the server does not know it (it was
// restarted, or its script cache was flushed), by text: NOSCRIPT says that
// nothing has run. The reply is a tag followed by strings.
func (s *Store) eval(ctx context.Context, c *client, sc script, at spot, args ...any) (reply, error) {
	r, err := s.evalOnce(ctx, c, "evalsha", sc.sha, at, args)
	if err != nil && (errors.Is(err, goredis.ErrNoScript) || goredis.HasErrorPrefix(err, "NOSCRIPT")) {
		r, err = s.evalOnce(ctx, c, "eval", sc.text, at, args)
	}
	return r, err
}

// evalOnce gives the call a token, which the script's answer repeats. An answer
// that does not is one to something else, and nothing of it is believed.
func (s *Store) evalOnce(ctx context.Context, c *client, command any, body string, at spot, args []any) (reply, error) {
	call := wire.NewToken()
	all := make([]any, 0, 7+len(at.keys)+len(args))
	all = append(all, command, body, len(at.keys))
	// Pointers, because a string in an interface is an allocation of its own.
	for i := range at.keys {
		all = append(all, &at.keys[i])
	}
	all = append(all, call, &at.owner.Tenant, &at.owner.User, &at.id)
	all = append(all, args...)
	size := commandSize(all)
	if size > s.maxWrite {
		return nil, errTooLarge
	}
	cmd := once{goredis.NewCmd(ctx, all...)}
	cmd.SetFirstKeyPos(3)
	var few bool
	var err error
	if at.replicas > 0 {
		few, err = sendAndWait(ctx, c, cmd, at.replicas)
	} else {
		err = c.Process(ctx, cmd)
	}
	if err != nil {
		if size >= largeWrite && connectionLost(err) {
			err = &largeWriteLost{err}
		}
		return nil, err
	}
	r, err := parseReply(cmd.Val(), call)
	if err == nil && few && outcome(r) == nil {
		err = errFewReplicas
	}
	return r, err
}

// reply is what a script returns, without the token of the call.
type reply []string

var errShape = errors.New("redis: reply has the wrong shape")

func parseReply(v any, call string) (reply, error) {
	list, ok := v.([]any)
	if !ok || len(list) < 2 || list[1] != call {
		return nil, errShape
	}
	out := make(reply, 0, len(list)-1)
	for i, e := range list {
		text, ok := e.(string)
		if !ok {
			return nil, errShape
		}
		if i != 1 {
			out = append(out, text)
		}
	}
	return out, nil
}

// tag is the outcome that the script names.
func (r reply) tag() string { return r[0] }

// rest is what follows the tag, which must be at least n strings.
func (r reply) rest(n int) ([]string, error) {
	if len(r)-1 < n {
		return nil, errShape
	}
	return r[1:], nil
}

// fieldsOf reads name, value, name, value … of a conversation.
func fieldsOf(list []string) (*wire.Set, error) {
	if len(list)%2 != 0 {
		return nil, errShape
	}
	var s wire.Set
	for i := 0; i < len(list); i += 2 {
		s.Put(list[i], []byte(list[i+1]))
	}
	return &s, nil
}
