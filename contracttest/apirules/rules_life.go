package apirules

import (
	"net/http"
	"strings"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"parley/contracttest/claims"
)

func lifeRules() []Rule {
	life := func(chapter, word, sentence, why, how string, needs []claims.Claim, check func(e *env)) Rule {
		return Rule{ID: chapter + "." + word, Chapter: chapter, Sentence: sentence, Why: why, How: how, Needs: needs, OnRedis: true, Wired: true, check: check}
	}
	const (
		forgets = "conversations that never go fill Redis, and keep what people said for longer than they were told"
		moves   = "time is moved by taking it from the time to live of every key"
		crashes = "processes are killed by machines and by operators; what was answered with 200 was promised to be stored"
		company = "a load balancer sends each request to another instance"
	)
	return []Rule{
		life("ttl", "every-key", "every key that is written has a time to live, and none a longer one than was set", forgets, "a conversation is begun and sent to; every key is looked at", []claims.Claim{claims.TTL}, ttlEveryKey),
		life("ttl", "expires", "a conversation that nobody wrote to for its time to live is gone", forgets, moves, []claims.Claim{claims.TTL}, ttlExpires),
		life("ttl", "renewed", "a write renews the time to live of the whole conversation", "a user who comes back every day loses the beginning of what was said", moves, []claims.Claim{claims.TTL}, ttlRenewed),
		life("keys", "prefix", "every key begins with the prefix that was set", "two services on one Redis read and delete each other's keys", "a conversation is begun in a Redis of its own, and all its keys are looked at", []claims.Claim{claims.KeyPrefix}, keysPrefix),
		life("restart", "kept", "what was answered is there after the process was killed and started again", crashes, "a message is answered, the process is killed, another is started on the same Redis and goes on", []claims.Claim{claims.Restart}, restartKept),
		life("restart", "turn", "a process that is killed in the middle of a turn holds its conversation for no longer than a lease", crashes, "the process is killed while the agent is held back; the same message is sent to a new one until it is answered", []claims.Claim{claims.Restart, claims.Conflicts}, restartTurn),
		life("instances", "shared", "what one instance answered another goes on with", company, "a conversation is begun on one instance, sent to on another, and read on the first", []claims.Claim{claims.Instances}, instancesShared),
		life("instances", "conflict", "two turns of one conversation on two instances never run at the same time", company, "the agent is held back in a turn of one instance, and a message is sent to the other", []claims.Claim{claims.Instances, claims.Conflicts}, instancesConflict),
		life("instances", "repeat", "a repeat with its key on another instance gets the same answer, and the agent is asked once", company, "a message is sent to one instance and again to another", []claims.Claim{claims.Instances, claims.Idempotency}, instancesRepeat),
		life("instances", "waits", "a message for a turn that runs on another instance waits for it, and is answered after it", company, "the agent is held back in a turn of one instance, another message is sent to the other, and then the agent goes on", []claims.Claim{claims.Instances, claims.Waits}, func(e *env) { waits(e, e.patient()) }),
		life("instances", "joins", "the same text while its own turn runs on another instance gets that turn's answer", company, "the agent is held back in a turn of one instance, the same is sent to the other, and then the agent goes on; it is counted how often the agent was asked", []claims.Claim{claims.Instances, claims.Joins}, func(e *env) { joins(e, e.patient()) }),
		life("instances", "resume", "a reader that names the last event it had goes on after it on another instance", company, "a stream is followed on another instance, with Last-Event-ID and without", []claims.Claim{claims.Instances, claims.Resume, claims.Stop}, func(e *env) { _, second := e.two(); resumes(e, second) }),
	}
}

// ownRedis gives a Redis whose keys are all this rule's, where they cannot be told
// from others' by a prefix.
func (e *env) ownRedis() {
	e.Helper()
	if e.s.Lacks.Has(claims.KeyPrefix) {
		return
	}
	if e.s.OwnRedis == nil {
		e.Skip("its keys cannot be told from others' in a Redis that is shared: key-prefix is not claimed")
	}
	e.s.Redis = e.s.OwnRedis(e)
	e.wiring.RedisURL = e.s.Redis.URL()
}

// keys calls f with every key that is this rule's.
func (e *env) keys(f func(c *goredis.Client, key string, left time.Duration)) {
	e.Helper()
	pattern := "*"
	if e.s.Lacks.Has(claims.KeyPrefix) {
		pattern = e.wiring.Prefix + "*"
	}
	e.matching(pattern, f)
}

// matching calls f with every key of a pattern.
func (e *env) matching(pattern string, f func(c *goredis.Client, key string, left time.Duration)) {
	e.Helper()
	opt, err := goredis.ParseURL(e.s.Redis.URL())
	e.must(err)
	c := goredis.NewClient(opt)
	defer func() { _ = c.Close() }()
	var names []string
	it := c.Scan(e.Context(), 0, pattern, 1000).Iterator()
	for it.Next(e.Context()) {
		names = append(names, it.Val())
	}
	e.must(it.Err())
	for _, name := range names {
		left, err := c.PTTL(e.Context(), name).Result()
		e.must(err)
		if left == -2 {
			continue // gone meanwhile
		}
		f(c, name, left)
	}
}

// pass lets time pass for every key.
func (e *env) pass(d time.Duration) {
	e.Helper()
	e.keys(func(c *goredis.Client, key string, left time.Duration) {
		if left >= 0 {
			e.must(c.PExpire(e.Context(), key, left-d).Err())
		}
	})
}

func ttlEveryKey(e *env) {
	e.ownRedis()
	e.start()
	id := e.begin()
	e.ok(sending(id, "hello"))
	n := 0
	e.keys(func(_ *goredis.Client, key string, left time.Duration) {
		n++
		if left < 0 || left > ttl+time.Minute {
			e.broken("the key %s lives for %v, and %v was set", key, left, ttl)
		}
	})
	if n == 0 {
		e.broken("there is no key in Redis")
	}
}

func keysPrefix(e *env) {
	if e.s.OwnRedis == nil {
		e.Skip("it needs a Redis of its own")
	}
	e.s.Redis = e.s.OwnRedis(e)
	e.wiring.RedisURL = e.s.Redis.URL()
	e.start()
	e.ok(sending(e.begin(), "hello"))
	n := 0
	e.matching("*", func(_ *goredis.Client, key string, _ time.Duration) {
		if n++; !strings.HasPrefix(key, e.wiring.Prefix) {
			e.broken("the key %s does not begin with %s", key, e.wiring.Prefix)
		}
	})
	if n == 0 {
		e.broken("there is no key in Redis")
	}
}

func ttlExpires(e *env) {
	e.ownRedis()
	e.start()
	id := e.begin()
	e.ok(sending(id, "hello"))
	e.pass(ttl + time.Second)
	e.refused(e.ask(sending(id, "hello")), http.StatusNotFound, "not_found")
}

func ttlRenewed(e *env) {
	e.ownRedis()
	e.start()
	id := e.begin()
	for range 3 {
		e.pass(ttl * 2 / 3)
		e.ok(sending(id, "hello"))
	}
	if !e.s.Lacks.Has(claims.Read) {
		return
	}
	if got := roles(e.ok(reading(id)).Messages); got != "assistant user assistant user assistant user assistant" {
		e.broken("the history is %q", got)
	}
}

func restartKept(e *env) {
	e.start()
	id := e.begin()
	first := e.ok(sending(id, "hello").with(keyHeader, "a-key"))
	before := e.asked()
	e.instance.Kill()
	e.start()
	if e.s.Lacks.Has(claims.Read) {
		if got := e.ok(reading(id)).Messages; roles(got) != "assistant user assistant" || said(got[2:]) != said(first.Messages) {
			e.broken("the history is %q", said(got))
		}
	}
	if e.s.Lacks.Has(claims.Idempotency) {
		if again := e.ok(sending(id, "hello").with(keyHeader, "a-key")); again.raw != first.raw || e.asked() != before {
			e.broken("the answer is not the one of before: %s", again)
		}
	}
	e.ok(sending(id, "and on"))
}

func restartTurn(e *env) {
	e.start()
	id := e.begin()
	arrived := e.agent.Hold()
	lost := e.meanwhile(e.instance, sending(id, "hello"))
	lost.arrive(e, arrived)
	e.instance.Kill()
	<-lost // it got no answer, or one that says so
	e.agent.Release()
	e.start()
	var last answer
	e.soon(e.s.Bounds.Lease+turnWait, "the conversation takes a message", func() bool {
		last = e.ask(sending(id, "hello"))
		if last.status != http.StatusOK && last.status != http.StatusConflict {
			e.broken("while the lease of the dead holds it: %s", last)
		}
		return last.status == http.StatusOK
	})
	if !e.s.Lacks.Has(claims.Read, claims.Adopts) {
		return
	}
	if got := roles(e.ok(reading(id)).Messages); got != "assistant user assistant" {
		e.broken("the history is %q", got)
	}
}

// two starts two instances on the same Redis.
func (e *env) two() (first, second Instance) {
	e.Helper()
	e.start()
	return e.instance, e.s.Start(e, e.wiring)
}

// patient starts two instances where turns wait for as long as anything, and gives the
// second.
func (e *env) patient() Instance {
	e.Helper()
	e.wiring.TurnWait = patience
	_, second := e.two()
	return second
}

func instancesShared(e *env) {
	first, second := e.two()
	id := e.begin()
	answered := e.okOf(second, sending(id, "hello"))
	e.okOf(first, sending(id, "and on"))
	if !e.s.Lacks.Has(claims.Read) {
		return
	}
	got := e.okOf(first, reading(id)).Messages
	if roles(got) != "assistant user assistant user assistant" || said(got[2:3]) != said(answered.Messages) {
		e.broken("the history is %q", said(got))
	}
}

func instancesConflict(e *env) {
	first, second := e.two()
	id := e.begin()
	arrived := e.agent.Hold()
	turn := e.meanwhile(first, sending(id, "first"))
	turn.arrive(e, arrived)
	a := e.askOf(second, sending(id, "second"))
	e.agent.Release()
	e.refused(a, http.StatusConflict, "turn_conflict")
	if a := turn.wait(e); a.status != http.StatusOK {
		e.broken("the first turn: %s", a)
	}
}

func instancesRepeat(e *env) {
	first, second := e.two()
	id := e.begin()
	before := e.asked()
	one := e.okOf(first, sending(id, "hello").with(keyHeader, "a-key"))
	other := e.okOf(second, sending(id, "hello").with(keyHeader, "a-key"))
	if n := e.asked() - before; one.raw != other.raw || n != 1 {
		e.broken("the agent was asked %d times, or the answers are two: %s and %s", n, one, other)
	}
}
