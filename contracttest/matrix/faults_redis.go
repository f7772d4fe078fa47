package matrix

import (
	"strings"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"parley/contracttest/faultproxy"
)

// pause is how long a paused Redis stays so. It outlasts every answer.
const pause = 2 * time.Second

// redisRows are faults that a real Redis is brought into, each one of its own.
func redisRows() []Row {
	const unreachable, timeout = "store_unreachable", "store_timeout"
	rows := []Row{
		Row{
			ID: "stopped", Fault: "Redis is halted (SIGSTOP) and later goes on, working off what it was sent", Down: true, Waits: true,
			inject: func(l *lab) { l.redis.Stop(l.tb) }, heal: func(l *lab) { l.redis.Continue(l.tb) },
		}.all(timeout),
		Row{
			ID: "killed", Fault: "Redis is killed (SIGKILL) and started again with what it kept on disk", Down: true,
			flags:  []string{"--appendonly", "yes", "--appendfsync", "always"},
			inject: func(l *lab) { l.redis.Kill(l.tb); l.proxy.Set(faultproxy.Refuse()) },
			heal:   func(l *lab) { l.redis.Restart(l.tb); l.loaded(); l.proxy.SetUpstream(l.redis.Addr()); l.proxy.Heal() },
		}.all(unreachable),
		Row{
			ID: "kill-idle", Fault: "Redis closes connections that are idle (CLIENT KILL)",
			inject: func(l *lab) { l.killClients() }, heal: nothing,
		}.all(""),
		Row{
			ID: "pause-all", Fault: "Redis is paused for everybody (CLIENT PAUSE ALL)", Down: true, Waits: true,
			inject: func(l *lab) { l.do("CLIENT", "PAUSE", int(pause.Milliseconds()), "ALL") },
			heal:   func(l *lab) { l.do("PING") },
		}.all(timeout),
		Row{
			ID: "pause-writes", Fault: "Redis is paused for writes (CLIENT PAUSE WRITE)", Waits: true,
			inject: func(l *lab) { l.do("CLIENT", "PAUSE", int(time.Minute.Milliseconds()), "WRITE") },
			heal:   func(l *lab) { l.do("CLIENT", "UNPAUSE") },
		}.writes(timeout),
		Row{
			ID: "full", Fault: "Redis is out of memory and evicts nothing (maxmemory)",
			inject: func(l *lab) { l.do("CONFIG", "SET", "maxmemory", "1") },
			heal:   func(l *lab) { l.do("CONFIG", "SET", "maxmemory", "0") },
		}.writes("store_full").deletes(""),
		Row{
			ID: "max-clients", Fault: "Redis takes no more clients (maxclients) and the connections there were are gone", Down: true,
			inject: func(l *lab) { l.do("CONFIG", "SET", "maxclients", "1"); l.killClients() },
			heal:   func(l *lab) { l.do("CONFIG", "SET", "maxclients", "1000") },
		}.all(unreachable),
		Row{
			ID: "no-permission", Fault: "the user may not run scripts (ACL)",
			inject: func(l *lab) { l.do("ACL", "SETUSER", "default", "-evalsha", "-eval") },
			heal:   func(l *lab) { l.do("ACL", "SETUSER", "default", "+@all") },
		}.writes("store_auth"),
		Row{
			ID: "password-rotated", Fault: "the password was changed and the connections there were are gone", Down: true,
			inject: func(l *lab) { l.do("CONFIG", "SET", "requirepass", "another"); l.killClients() },
			heal:   func(l *lab) { l.do("CONFIG", "SET", "requirepass", "") },
		}.all("store_auth"),
		Row{
			ID: "demoted", Fault: "the primary became a replica and kept its connections (READONLY)",
			inject: func(l *lab) { l.do("REPLICAOF", "192.0.2.1", "6379") },
			heal:   func(l *lab) { l.do("REPLICAOF", "NO", "ONE") },
		}.writes("store_readonly"),
		Row{
			ID: "master-down", Fault: "a replica that lost its primary serves nothing (MASTERDOWN)", Down: true,
			inject: func(l *lab) {
				l.do("CONFIG", "SET", "replica-serve-stale-data", "no")
				l.do("REPLICAOF", "192.0.2.1", "6379")
			},
			heal: func(l *lab) { l.do("REPLICAOF", "NO", "ONE") },
		}.all("store_not_ready").writes("store_not_ready", "store_readonly").reads("store_not_ready"),
		Row{
			ID: "no-replicas", Fault: "Redis has fewer replicas than it must have (NOREPLICAS)",
			inject: func(l *lab) { l.do("CONFIG", "SET", "min-replicas-to-write", "1") },
			heal:   func(l *lab) { l.do("CONFIG", "SET", "min-replicas-to-write", "0") },
		}.writes("store_readonly"),
		Row{
			ID: "cannot-save", Fault: "Redis cannot write its snapshots and refuses writes (MISCONF)", flags: []string{"--enable-protected-configs", "yes"},
			inject: func(l *lab) {
				l.do("CONFIG", "SET", "save", "3600 1")
				l.do("CONFIG", "SET", "dir", "/proc")
				l.saveFails()
			},
			heal: func(l *lab) { l.do("CONFIG", "SET", "stop-writes-on-bgsave-error", "no") },
		}.writes("store_readonly"),
		Row{
			ID: "script-flush", Fault: "Redis forgets all scripts (SCRIPT FLUSH)",
			inject: func(l *lab) { l.do("SCRIPT", "FLUSH") }, heal: nothing,
		}.all(""),
		Row{
			ID: "busy", Fault: "a script of somebody else's keeps Redis busy (BUSY)", Down: true, Waits: true, flags: []string{"--lua-time-limit", "50"},
			inject: func(l *lab) { l.busy() }, heal: func(l *lab) { l.do("SCRIPT", "KILL") },
		}.all("store_not_ready"),
		Row{
			ID: "failover", Fault: "a replica takes over, the old primary keeps its connections",
			inject: func(l *lab) { l.failover() }, heal: nothing,
		}.writes("", "store_readonly"),
		Row{
			ID: "corrupt", Fault: "a key of a conversation holds something else",
			Held:   Expect{"store_corrupt"},
			inject: func(l *lab) { l.corrupt() }, heal: func(l *lab) { l.mend() },
		}.all("").commits("store_corrupt"),
	}
	for i := range rows {
		rows[i].own = true
	}
	return rows
}

func nothing(*lab) {}

// deletes, reads and commits change what one kind of call is expected to answer.
func (r Row) deletes(e ...string) Row { r.Deletes = e; return r }
func (r Row) reads(e ...string) Row   { r.Reads = e; return r }
func (r Row) commits(e ...string) Row { r.Commits = e; return r }

// do sends Redis a command past the proxy.
func (l *lab) do(args ...any) {
	l.tb.Helper()
	if err := l.admin.Do(l.tb.Context(), args...).Err(); err != nil {
		l.tb.Fatalf("%v: %v", args[0], err)
	}
}

// killClients has Redis close every connection but the lab's own.
func (l *lab) killClients() {
	l.tb.Helper()
	l.do("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
}

// loaded waits until a restarted Redis has read what it kept.
func (l *lab) loaded() {
	l.tb.Helper()
	l.admin = l.connect(l.redis.URL())
	l.until("Redis has loaded", func() bool { return l.admin.Ping(l.tb.Context()).Err() == nil })
}

// saveFails makes Redis try to save and waits until it has found that it cannot.
func (l *lab) saveFails() {
	l.tb.Helper()
	l.do("BGSAVE")
	l.until("saving has failed", func() bool {
		return strings.Contains(l.admin.Info(l.tb.Context(), "persistence").Val(), "rdb_last_bgsave_status:err")
	})
}

// busy starts a script without end and waits until Redis says so.
func (l *lab) busy() {
	l.tb.Helper()
	other := l.connect(l.redis.URL())
	go func() { _ = other.Eval(l.tb.Context(), "while true do end", nil).Err() }() // ends with SCRIPT KILL
	l.until("Redis is busy", func() bool { return goredis.HasErrorPrefix(l.admin.Ping(l.tb.Context()).Err(), "BUSY") })
}

// until waits for something that Redis does by itself.
func (l *lab) until(what string, ok func() bool) {
	l.tb.Helper()
	deadline, tick := time.After(10*time.Second), time.NewTicker(5*time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline:
			l.tb.Fatalf("waited 10 s in vain until %s", what)
		}
	}
}

// failover makes a second Redis a copy of the first, then the primary, and the
// first its replica. New connections go to the second from then on.
func (l *lab) failover() {
	l.tb.Helper()
	host, port := l.redis.ContainerAddr(l.tb)
	second := l.another()
	admin := l.connect(second.URL())
	ctx := l.tb.Context()
	if err := admin.ReplicaOf(ctx, host, port).Err(); err != nil {
		l.tb.Fatal(err)
	}
	l.until("the replica is in step", func() bool {
		return strings.Contains(admin.Info(ctx, "replication").Val(), "master_link_status:up")
	})
	// Everything that was acknowledged is there before the change: it is planned.
	if n := l.admin.Wait(ctx, 1, 10*time.Second).Val(); n != 1 {
		l.tb.Fatal("the replica did not follow")
	}
	if err := admin.ReplicaOf(ctx, "NO", "ONE").Err(); err != nil {
		l.tb.Fatal(err)
	}
	host, port = second.ContainerAddr(l.tb)
	l.do("REPLICAOF", host, port)
	l.proxy.SetUpstream(second.Addr())
	l.admin = admin
}

// corrupt puts a string where each conversation's hash was, and keeps the hash.
func (l *lab) corrupt() {
	l.tb.Helper()
	l.each("*:c:*", func(key string) {
		l.do("RENAME", key, "kept:"+key)
		l.do("SET", key, "nonsense", "EX", "60")
	})
}

// mend puts the hashes back.
func (l *lab) mend() {
	l.tb.Helper()
	l.each("kept:*", func(key string) { l.do("RENAME", key, strings.TrimPrefix(key, "kept:")) })
}
