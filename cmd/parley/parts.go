package main

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"parley/server/copilot"
	"parley/server/copilot/emulator"
	"parley/store"
	"parley/store/memory"
	"parley/store/redis"
	"parley/telemetry"
)

// place is where conversations are kept.
type place struct {
	store.Store
	backend  string                // "memory" or "redis"
	watch    func(context.Context) // runs as long as the service does; nil for nothing
	warnings func() []string       // what an operator should know of; nil for nothing
}

// openStore is the one place that chooses a backend: Redis when REDIS_URL is
// set, memory when it is not, and never one for the other.
func openStore(c config, tel *telemetry.Telemetry, log *slog.Logger) (place, error) {
	if c.redisURL == "" {
		s, err := observeStore(memory.New(memory.Options{TTL: c.ttl, MaxConversations: c.maxConversations}), "memory", tel)
		return place{Store: s, backend: "memory"}, err
	}
	r, err := redis.New(redis.Options{
		URL: c.redisURL, RootCAs: c.redisCAs, Prefix: c.redisPrefix, TTL: c.ttl, Timeout: c.redisTimeout,
		Trace: redisTrace(tel),
	})
	if err != nil {
		return place{}, fmt.Errorf("REDIS_URL: %w", err)
	}
	s, err := observeStore(r, "redis", tel)
	eviction := &evictionWatch{policy: r.EvictionPolicy, log: log}
	return place{Store: s, backend: "redis", watch: eviction.run, warnings: eviction.warnings}, err
}

// openAgent gives the agent to talk to, and a name for it that holds no secret.
func openAgent(c config, tel *telemetry.Telemetry) (agent copilot.Agent, name string, end func(), err error) {
	endpoint, token, name, stop := c.endpoint, c.stubToken, "Copilot Studio", func() {}
	if c.emulator {
		var url string
		if url, stop, err = startEmulator(); err != nil {
			return nil, "", nil, err
		}
		endpoint, token, name = copilot.Endpoint{DirectConnectURL: url}, "emulator", "emulator in this process (say /help to it)"
	}
	client, err := copilot.NewClient(copilot.Options{
		Endpoint: endpoint, Tokens: copilot.StaticToken(token), UserAgent: "parley/" + version(),
		Transport: tel.Transport(copilot.NewTransport()),
		// A turn has one budget, COPILOT_TIMEOUT; silence within it is the agent's right.
		Timeouts: copilot.Timeouts{FirstEvent: c.copilotTimeout, Idle: c.copilotTimeout},
	})
	if err != nil {
		stop()
		return nil, "", nil, fmt.Errorf("COPILOT_DIRECT_CONNECT_URL: %w", err)
	}
	address, _ := endpoint.URL("") // NewClient has checked it
	return tel.Agent(client, address), name, func() {
		client.CloseIdleConnections()
		stop()
	}, nil
}

// startEmulator serves an emulated agent on a port of its own, so that what is
// in between is the real protocol over a real connection.
func startEmulator() (url string, stop func(), err error) {
	l, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, fmt.Errorf("COPILOT_EMULATOR: cannot listen: %w", err)
	}
	web := &http.Server{Handler: emulator.New(emulator.Options{Token: "emulator"}), ReadHeaderTimeout: 10 * time.Second}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = web.Serve(l) // ends with Close
	}()
	return "http://" + l.Addr().String() + "/emulator", func() {
		_ = web.Close()
		<-done
	}, nil
}
