package matrix

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/google/uuid"

	"parley/contracttest/agenttest"
	"parley/contracttest/redistest"
)

// modeRows are settings that do not say what is there.
func modeRows() []ShardRow {
	misconfigured := Expect{"store_misconfigured"}
	row := func(id, fault string, on Deployment, mode string, node func(b *shardbed) *redistest.Node, e Expect) ShardRow {
		return ShardRow{ID: id, Fault: fault, On: on, try: func(b *shardbed, t Target) []string {
			// Without the user that the nodes have: a sentinel would refuse it.
			w := Settings{Mode: mode, Prefix: b.prefix, Timeout: Patience, RedisURL: node(b).URL()}
			if mode == "sentinel" {
				w.SentinelMaster = redistest.SentinelMaster
			}
			return b.useless(t, w, e)
		}}
	}
	hurt := func(b *shardbed) *redistest.Node { return b.hurt }
	other := func(b *shardbed) *redistest.Node { return b.primaries(b.tb)[1] }
	clusterReplica := func(b *shardbed) *redistest.Node { return b.replica }
	plainReplica := func(b *shardbed) *redistest.Node { return b.following() }
	sentinel := func(b *shardbed) *redistest.Node { return b.sentinels.Sentinels[0] }
	return []ShardRow{
		row("single-for-primary", "a cluster's primary is taken for a single server", Covered, "single", hurt, misconfigured),
		row("single-for-another", "another primary of a cluster is taken for a single server", Covered, "single", other, misconfigured),
		row("single-for-replica", "a cluster's replica is taken for a single server", Covered, "single", clusterReplica, misconfigured),
		// Reads are answered by a replica: they have to be, while a primary is being
		// replaced. So health has to tell.
		row("single-for-plain-replica", "a replica is taken for a single server", Watched, "single", plainReplica, Expect{"store_readonly"}),
		row("single-for-sentinel", "a sentinel is taken for a single server", Watched, "single", sentinel, misconfigured),
		row("cluster-for-plain", "a single server is taken for a node of a cluster", Watched, "cluster", hurt, misconfigured),
		row("cluster-for-plain-replica", "a replica is taken for a node of a cluster", Watched, "cluster", plainReplica, misconfigured),
		row("cluster-for-sentinel", "a sentinel is taken for a node of a cluster", Watched, "cluster", sentinel, misconfigured),
		row("sentinel-for-plain", "a single server is taken for a sentinel", Watched, "sentinel", hurt, misconfigured),
		row("sentinel-for-cluster", "a cluster's primary is taken for a sentinel", Covered, "sentinel", hurt, misconfigured),
	}
}

// following is a replica that sentinels watch.
func (b *shardbed) following() *redistest.Node {
	nodes := b.nodes()
	return nodes[slices.IndexFunc(nodes, func(n *redistest.Node) bool { return n != b.hurt })]
}

// useless starts a service with settings that cannot work and sees that it says so
// wherever it is asked.
func (b *shardbed) useless(t Target, w Settings, e Expect) (broken []string) {
	c := b.service(t, w)
	ctx := b.tb.Context()
	type route struct {
		method, path string
		body         any
	}
	routes := []route{{"POST", "/api/chat/start", m{}}}
	if !e.allows("store_readonly") {
		routes = append(
			routes,
			route{"POST", "/api/chat/send", m{"conversationId": c.id, "text": "question"}},
			route{"GET", "/api/chat/conversations", nil},
			route{"GET", "/api/chat/conversations/" + c.id, nil},
		)
	}
	for _, asked := range routes {
		began := time.Now()
		r, err := c.call(ctx, asked.method, asked.path, asked.body, "")
		took := time.Since(began)
		told := e.allows(r.Class) || b.stalled(r.Class, askingTime)
		if err != nil || r.status != http.StatusServiceUnavailable || !told || r.Retryable != retryable(r.Class) {
			broken = append(broken, fmt.Sprintf("%s %s: %d %s, retryable %v: %v", asked.method, asked.path, r.status, r.Class, r.Retryable, err))
		}
		if limit := b.atOnce(); took > limit {
			broken = append(broken, fmt.Sprintf("%s %s: after %v, allowed are %v", asked.method, asked.path, took, limit))
		}
	}
	if err := b.comes(func() error { return c.tells(http.StatusServiceUnavailable, disconnected, e) }); err != nil {
		broken = append(broken, err.Error())
	}
	return broken
}

// health starts a service and sees what it says of how it is while shards go.
func health(b *shardbed, t Target) (broken []string) {
	c := b.service(t, b.settings(b.prefix, b.least(), 0))
	expect := func(when string, status int, state string, e Expect) {
		if err := b.comes(func() error { return c.tells(status, state, e) }); err != nil {
			broken = append(broken, when+": "+err.Error())
		}
	}
	expect("all are well", http.StatusOK, "connected", nil)
	timeout := Expect{"store_timeout"}
	stop(b)
	expect("one stands still", http.StatusOK, "partial", timeout)
	for _, n := range b.nodes()[1:] {
		n.Stop(b.tb)
	}
	expect("all stand still", http.StatusServiceUnavailable, disconnected, timeout)
	for _, n := range b.nodes() {
		n.Continue(b.tb)
	}
	expect("all are well again", http.StatusOK, "connected", nil)
	return broken
}

// service starts a service, and what asks it.
func (b *shardbed) service(t Target, w Settings) *routeColumn {
	b.tb.Helper()
	c := &routeColumn{tb: b.tb, client: client(b.tb), keys: w.Prefix, agent: agenttest.Start(b.tb), id: uuid.NewString(), limits: b.limits}
	w.AgentURL, w.AgentTimeout = c.agent.URL(), Patience
	c.base = t.Service(b.tb, w)
	return c
}

// comes waits until health tells what it should: it is found out once a second.
func (b *shardbed) comes(look func() error) error {
	tick, began := time.NewTicker(20*time.Millisecond), time.Now()
	defer tick.Stop()
	for {
		err := look()
		if err == nil || time.Since(began) > HealthRecovery+b.late() {
			return err
		}
		<-tick.C
	}
}

// tells compares what /health and /readyz say with what they should.
func (c *routeColumn) tells(status int, state string, e Expect) error {
	ctx := c.tb.Context()
	how, herr := c.call(ctx, "GET", "/health", nil, "")
	ready, rerr := c.call(ctx, "GET", "/readyz", nil, "")
	if err := errors.Join(herr, rerr); err != nil {
		return err
	}
	class := how.Store.LastError
	if how.status != status || ready.status != status || how.Redis != state || (class != "" || e != nil) && !e.allows(class) {
		return fmt.Errorf("/health answers %d %v, redis %s, last error %q, and /readyz %d; want %d, %s, %v", how.status, how.Status, how.Redis, class, ready.status, status, state, e)
	}
	return nil
}
