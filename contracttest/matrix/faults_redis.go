package matrix

import (
	"strings"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"parley/contracttest/claims"
	"parley/contracttest/faultproxy"
)

// redisRows are faults that a real Redis is brought into, each one of its own.
func redisRows() []Row {
	const unreachable, timeout = "store_unreachable", "store_timeout"
	rows := []Row{
		Row{
			ID: "stopped", Fault: "Redis is halted (SIGSTOP) and later goes on, working off what it was sent", Down: true, Waits: true,
			inject: func(bed *testbed) { bed.redis.Stop(bed.tb) }, heal: func(bed *testbed) { bed.redis.Continue(bed.tb) },
		}.all(timeout),
		Row{
			ID: "killed", Fault: "Redis is killed (SIGKILL) and started again with what it kept on disk", Down: true,
			flags:  []string{"--appendonly", "yes", "--appendfsync", "always"},
			inject: func(bed *testbed) { bed.redis.Kill(bed.tb); bed.proxy.Set(faultproxy.Refuse()) },
			heal: func(bed *testbed) {
				bed.redis.Restart(bed.tb)
				bed.loaded()
				bed.proxy.SetUpstream(bed.redis.Addr())
				bed.proxy.Heal()
			},
		}.all(unreachable),
		Row{
			ID: "kill-idle", Fault: "Redis closes connections that are idle (CLIENT KILL)",
			inject: func(bed *testbed) { bed.killClients() }, heal: nothing,
		}.all(""),
		Row{
			ID: "pause-all", Fault: "Redis is paused for everybody (CLIENT PAUSE ALL)", Down: true, Waits: true,
			inject: func(bed *testbed) { bed.do("CLIENT", "PAUSE", int(bed.outlasting().Milliseconds()), "ALL") },
			heal:   func(bed *testbed) { bed.do("PING") },
		}.all(timeout),
		Row{
			ID: "pause-writes", Fault: "Redis is paused for writes (CLIENT PAUSE WRITE)", Waits: true, mayWrite: true,
			inject: func(bed *testbed) { bed.do("CLIENT", "PAUSE", int(time.Minute.Milliseconds()), "WRITE") },
			heal:   func(bed *testbed) { bed.do("CLIENT", "UNPAUSE") },
		}.writes(timeout),
		Row{
			ID: "full", Fault: "Redis is out of memory and evicts nothing (maxmemory)",
			inject: func(bed *testbed) { bed.do("CONFIG", "SET", "maxmemory", "1") },
			heal:   func(bed *testbed) { bed.do("CONFIG", "SET", "maxmemory", "0") },
		}.writes("store_full").deletes(""),
		Row{
			ID: "max-clients", Fault: "Redis takes no more clients (maxclients) and the connections there were are gone", Down: true,
			inject: func(bed *testbed) { bed.do("CONFIG", "SET", "maxclients", "1"); bed.killClients() },
			heal:   func(bed *testbed) { bed.do("CONFIG", "SET", "maxclients", "1000") },
		}.all(unreachable),
		Row{
			ID: "no-permission", Fault: "the user may not run scripts (ACL)", Needs: of(claims.Scripts),
			inject: func(bed *testbed) { bed.do("ACL", "SETUSER", "default", "-evalsha", "-eval") },
			heal:   func(bed *testbed) { bed.do("ACL", "SETUSER", "default", "+@all") },
		}.writes("store_auth"),
		Row{
			ID: "password-rotated", Fault: "the password was changed and the connections there were are gone", Down: true,
			inject: func(bed *testbed) { bed.do("CONFIG", "SET", "requirepass", "another"); bed.killClients() },
			heal:   func(bed *testbed) { bed.do("CONFIG", "SET", "requirepass", "") },
		}.all("store_auth"),
		Row{
			ID: "demoted", Fault: "the primary became a replica and kept its connections (READONLY)",
			inject: func(bed *testbed) { bed.do("REPLICAOF", "192.0.2.1", "6379") },
			heal:   func(bed *testbed) { bed.do("REPLICAOF", "NO", "ONE") },
		}.writes("store_readonly"),
		Row{
			ID: "master-down", Fault: "a replica that lost its primary serves nothing (MASTERDOWN)", Down: true,
			inject: func(bed *testbed) {
				bed.do("CONFIG", "SET", "replica-serve-stale-data", "no")
				bed.do("REPLICAOF", "192.0.2.1", "6379")
			},
			heal: func(bed *testbed) { bed.do("REPLICAOF", "NO", "ONE") },
		}.all("store_not_ready").writes("store_not_ready", "store_readonly").reads("store_not_ready"),
		Row{
			ID: "no-replicas", Fault: "Redis has fewer replicas than it must have (NOREPLICAS)",
			inject: func(bed *testbed) { bed.do("CONFIG", "SET", "min-replicas-to-write", "1") },
			heal:   func(bed *testbed) { bed.do("CONFIG", "SET", "min-replicas-to-write", "0") },
		}.writes("store_readonly"),
		Row{
			ID: "cannot-save", Fault: "Redis cannot write its snapshots and refuses writes (MISCONF)", flags: []string{"--enable-protected-configs", "yes"},
			inject: func(bed *testbed) {
				bed.do("CONFIG", "SET", "save", "3600 1")
				bed.do("CONFIG", "SET", "dir", "/proc")
				bed.saveFails()
			},
			heal: func(bed *testbed) { bed.do("CONFIG", "SET", "stop-writes-on-bgsave-error", "no") },
		}.writes("store_readonly"),
		Row{
			ID: "script-flush", Fault: "Redis forgets all scripts (SCRIPT FLUSH)",
			inject: func(bed *testbed) { bed.do("SCRIPT", "FLUSH") }, heal: nothing,
		}.all(""),
		Row{
			ID: "busy", Fault: "a script of somebody else's keeps Redis busy (BUSY)", Down: true, Waits: true, flags: []string{"--lua-time-limit", "50"},
			inject: func(bed *testbed) { bed.busy() }, heal: func(bed *testbed) { bed.do("SCRIPT", "KILL") },
		}.all("store_not_ready"),
		Row{
			ID: "failover", Fault: "a replica takes over, the old primary keeps its connections",
			inject: func(bed *testbed) { bed.failover() }, heal: nothing,
		}.writes("", "store_readonly"),
		Row{
			ID: "corrupt", Fault: "a key of a conversation holds something else", Needs: of(claims.KeyLayout),
			Held:   Expect{"store_corrupt"},
			inject: func(bed *testbed) { bed.corrupt() }, heal: func(bed *testbed) { bed.mend() },
		}.all("").commits("store_corrupt"),
	}
	for i := range rows {
		rows[i].own = true
	}
	return rows
}

func nothing(*testbed) {}

// deletes, reads and commits change what one kind of call is expected to answer.
func (r Row) deletes(e ...string) Row { r.Deletes = e; return r }
func (r Row) reads(e ...string) Row   { r.Reads = e; return r }
func (r Row) commits(e ...string) Row { r.Commits = e; return r }

// do sends Redis a command past the proxy.
func (bed *testbed) do(args ...any) {
	bed.tb.Helper()
	if err := bed.admin.Do(bed.tb.Context(), args...).Err(); err != nil {
		bed.tb.Fatalf("%v: %v", args[0], err)
	}
}

// killClients has Redis close every connection but the testbed's own.
func (bed *testbed) killClients() {
	bed.tb.Helper()
	bed.do("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
}

// loaded waits until a restarted Redis has read what it kept.
func (bed *testbed) loaded() {
	bed.tb.Helper()
	bed.admin = bed.connect(bed.redis.URL())
	bed.until("Redis has loaded", func() bool { return bed.admin.Ping(bed.tb.Context()).Err() == nil })
}

// saveFails makes Redis try to save and waits until it has found that it cannot.
func (bed *testbed) saveFails() {
	bed.tb.Helper()
	bed.do("BGSAVE")
	bed.until("saving has failed", func() bool {
		return strings.Contains(bed.admin.Info(bed.tb.Context(), "persistence").Val(), "rdb_last_bgsave_status:err")
	})
}

// busy starts a script without end and waits until Redis says so.
func (bed *testbed) busy() {
	bed.tb.Helper()
	other := bed.connect(bed.redis.URL())
	go func() { _ = other.Eval(bed.tb.Context(), "while true do end", nil).Err() }() // ends with SCRIPT KILL
	bed.until("Redis is busy", func() bool { return goredis.HasErrorPrefix(bed.admin.Ping(bed.tb.Context()).Err(), "BUSY") })
}

// until waits for something that Redis does by itself.
func (bed *testbed) until(what string, ok func() bool) {
	bed.tb.Helper()
	deadline, tick := time.After(10*time.Second), time.NewTicker(5*time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline:
			bed.tb.Fatalf("waited 10 s in vain until %s", what)
		}
	}
}

// failover makes a second Redis a copy of the first, then the primary, and the
// first its replica. New connections go to the second from then on.
func (bed *testbed) failover() {
	bed.tb.Helper()
	host, port := bed.redis.ContainerAddr(bed.tb)
	second := bed.another()
	admin := bed.connect(second.URL())
	ctx := bed.tb.Context()
	if err := admin.ReplicaOf(ctx, host, port).Err(); err != nil {
		bed.tb.Fatal(err)
	}
	bed.until("the replica is in step", func() bool {
		return strings.Contains(admin.Info(ctx, "replication").Val(), "master_link_status:up")
	})
	// Everything that was acknowledged is there before the change: it is planned.
	if n := bed.admin.Wait(ctx, 1, 10*time.Second).Val(); n != 1 {
		bed.tb.Fatal("the replica did not follow")
	}
	if err := admin.ReplicaOf(ctx, "NO", "ONE").Err(); err != nil {
		bed.tb.Fatal(err)
	}
	host, port = second.ContainerAddr(bed.tb)
	bed.do("REPLICAOF", host, port)
	bed.proxy.SetUpstream(second.Addr())
	bed.admin = admin
}

// corrupt puts a string where each conversation's hash was, and keeps the hash.
func (bed *testbed) corrupt() {
	bed.tb.Helper()
	bed.each("*:c:*", func(key string) {
		bed.do("RENAME", key, "kept:"+key)
		bed.do("SET", key, "nonsense", "EX", "60")
	})
}

// mend puts the hashes back, but for those of conversations that were deleted.
func (bed *testbed) mend() {
	bed.tb.Helper()
	bed.each("kept:*", func(key string) {
		was := strings.TrimPrefix(key, "kept:")
		if there, err := bed.admin.Exists(bed.tb.Context(), was).Result(); err != nil || there == 0 {
			return
		}
		bed.do("RENAME", key, was)
	})
}
