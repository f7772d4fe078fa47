package main

import (
	"context"
	"fmt"
	"io"
	"strings"
)

// initCase is a .env to begin with.
type initCase struct {
	name, about string
	lines       []initLine
}

// initLine is a setting of it. Without a value it is to be filled in.
type initLine struct{ name, value, note string }

// initCases are those of `parley init`. What is not in them has a default.
func initCases() []initCase {
	signIn := []initLine{
		{"AZURE_TENANT_NAME", "", ""},
		{"AZURE_CLIENT_ID", "", ""},
		{"ALLOWED_TENANT_IDS", "", ""},
		{"AUTH_SCOPES", "access_as_user", "As the application's registration exposes it."},
	}
	agent := []initLine{
		{"COPILOT_DIRECT_CONNECT_URL", "", "In Copilot Studio: Channels, Web or Native app."},
		{"COPILOT_TENANT_ID", "", ""},
		{"COPILOT_APP_ID", "", ""},
		{"COPILOT_CLIENT_SECRET", "", ""},
	}
	operation := []initLine{
		{"ADMIN_PORT", "9090", "Keep it from the internet."},
		{"METRICS_PROMETHEUS", "true", ""},
		{"DRAIN_DELAY", "5", "As long as a balancer takes to learn that an instance leaves."},
	}
	return []initCase{
		{"local", "an emulated agent, conversations in memory, nobody signs in", []initLine{
			{"HOST", "127.0.0.1", ""},
			{"COPILOT_EMULATOR", "true", ""},
			{"AUTH_REQUIRED", "false", "Never where others can connect."},
		}},
		{"azure", "Azure Managed Redis with a managed identity, sign-in by Entra External ID", join([]initLine{
			{"REDIS_URL", "", "rediss://<name>.<region>.redis.azure.net:10000 for Azure Managed Redis."},
			{"REDIS_ENTRA", "managed-identity", "So there is no password of Redis to keep."},
		}, signIn, agent, operation)},
		{"cluster", "a Redis Cluster of your own, over TLS, sign-in by Entra External ID", join([]initLine{
			{"REDIS_MODE", "cluster", ""},
			{"REDIS_URL", "", "rediss://<host>:6379 of any node."},
			{"REDIS_NODES", "", "So that one node may be away when an instance starts."},
			{"REDIS_PASSWORD_FILE", "/run/secrets/redis", ""},
			{"REDIS_CA_FILE", "/run/secrets/redis-ca.pem", ""},
			{"REDIS_WAIT_REPLICAS", "1", "So that a failover loses no answer that was acknowledged."},
		}, signIn, agent, operation)},
	}
}

func join(parts ...[]initLine) (all []initLine) {
	for _, p := range parts {
		all = append(all, p...)
	}
	return all
}

func initNames() string {
	var names []string
	for _, c := range initCases() {
		names = append(names, c.name)
	}
	return strings.Join(names, ", ")
}

// initEnv prints the .env of a case.
func initEnv(_ context.Context, _ environment, name string, stdout, stderr io.Writer) error {
	about := map[string]string{}
	for _, s := range settings() {
		about[s.name] = s.about + " Expected: " + s.expects + "."
	}
	for _, c := range initCases() {
		if c.name != name {
			continue
		}
		fmt.Fprintf(stdout, "# Parley: %s.\n# `parley --env-file .env check-config` says what is missing, and with `--probe` then\n# whether all that it names answers; `parley --help` lists all settings.\n", c.about)
		for _, l := range c.lines {
			fmt.Fprintf(stdout, "\n# %s\n", about[l.name])
			if l.note != "" {
				fmt.Fprintf(stdout, "# %s\n", l.note)
			}
			fmt.Fprintf(stdout, "%s=%s\n", l.name, l.value)
		}
		return nil
	}
	fmt.Fprintf(stderr, "parley: there is no case %q; there are %s\n", name, initNames())
	return errUsage
}
