package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"time"
)

// healthcheckTime is how long the service has to answer. It is less than what an image
// or an orchestrator gives a health check.
const healthcheckTime = 2 * time.Second

// healthcheck asks the service that has the same settings for /livez, on ADMIN_PORT if
// there is one. It does not ask for /readyz: whoever restarts a container that is not
// healthy must not do so because Redis is away.
func healthcheck(ctx context.Context, env environment, _ string, _, _ io.Writer) error {
	c, err := load(env)
	if err != nil {
		return configError{err}
	}
	host, port, name := c.host, c.port, "PORT"
	if c.admin {
		host, port, name = c.adminHost, c.adminPort, "ADMIN_PORT"
	}
	if port == 0 {
		return configError{errors.New(name + ": is 0, so nobody knows which port the service took; expected its number")}
	}
	ctx, cancel := context.WithTimeout(ctx, healthcheckTime)
	defer cancel()
	url := "http://" + net.JoinHostPort(reachable(host), strconv.Itoa(port)) + "/livez"
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return fmt.Errorf("healthcheck: %w", err)
	}
	// Not through a proxy of the environment: the service is on this machine.
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	if err != nil {
		return fmt.Errorf("healthcheck: %w", err)
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("healthcheck: %s answered %s", url, resp.Status)
	}
	return nil
}

// reachable is the address at which a listener of that address is reached from this
// machine: one that listens on all is reached on each.
func reachable(host string) string {
	ip := net.ParseIP(host)
	switch {
	case host == "", ip != nil && ip.IsUnspecified() && ip.To4() != nil:
		return "127.0.0.1"
	case ip != nil && ip.IsUnspecified():
		return "::1"
	}
	return host
}
