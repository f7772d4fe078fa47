package main

import (
	"encoding/json"
	"regexp"
	"strings"
	"sync"
	"testing"

	"parley/contracttest/faultproxy"
	"parley/contracttest/redistest"
)

// breakerLine is a line of the log that tells what the circuit breaker found out.
type breakerLine struct {
	Level, Msg, Reason, Class, Error string
	Open                             bool
	Took                             *float64 `json:"took_ms"`
}

// breakerLines are those of a log so far.
func breakerLines(t *testing.T, log string) (found []breakerLine) {
	t.Helper()
	for text := range strings.Lines(log) {
		var l breakerLine
		if json.Unmarshal([]byte(text), &l) == nil && l.Msg == "circuit breaker" {
			found = append(found, l)
		}
	}
	return found
}

// When failures in a row made the breaker ask Redis, the log says what came of it, and of
// the last failure its class and how many bytes went and came; and that Redis is back.
func TestLogOfTheBreaker(t *testing.T) {
	const nothingCame = `no reply: [1-9]\d* bytes sent, 0 bytes received`
	redis := redistest.Start(t)
	_, settings := agent(t)
	for _, c := range []struct {
		name, reason, class, size string
		fault                     faultproxy.Fault
		opens                     bool
	}{
		{"Redis is silent", "Redis fails to answer a PING on a connection of its own", "store_timeout", nothingCame, faultproxy.BlackHole(faultproxy.Replies, faultproxy.AllConns), true},
		{"nobody is there", "Redis fails to answer a PING on a connection of its own", "store_unreachable", "connection refused", faultproxy.Refuse(), true},
		{"only calls get nothing", "Redis answers a PING on a connection of its own: ", "store_timeout", nothingCame, faultproxy.LoseReply().On(faultproxy.Names("LRANGE")), false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			proxy := faultproxy.Start(t, redis.Addr())
			var log sharedBuffer
			base := startService(t, &log, append(settings, "REDIS_URL", "redis://"+proxy.Addr(), "REDIS_TIMEOUT", "1000")...)
			id := call(t, base+"/api/chat/start", m{}).ConversationID
			proxy.Set(c.fault)
			proxy.KillConns(faultproxy.RST)
			waitFor(t, func() bool {
				var reading sync.WaitGroup
				for range 5 {
					reading.Go(func() { call(t, base+"/api/chat/conversations/"+id, nil) })
				}
				reading.Wait()
				return len(breakerLines(t, log.String())) > 0
			})
			l := breakerLines(t, log.String())[0]
			if l.Open != c.opens || !strings.HasPrefix(l.Reason, c.reason) || l.Class != c.class || l.Level != "WARN" || l.Took == nil {
				t.Errorf("%+v", l)
			}
			if !regexp.MustCompile(c.size).MatchString(l.Error) {
				t.Errorf("it does not say %q: %s", c.size, l.Error)
			}
			proxy.Heal()
			if !c.opens {
				return
			}
			waitFor(t, func() bool {
				all := breakerLines(t, log.String())
				last := all[len(all)-1]
				return !last.Open && last.Reason == "Redis answers again" && last.Class == "" && last.Took != nil && *last.Took > 0
			})
			if a := call(t, base+"/api/chat/conversations/"+id, nil); a.Status != 200 {
				t.Errorf("afterwards: %d %s", a.Status, a.Class)
			}
		})
	}
}
