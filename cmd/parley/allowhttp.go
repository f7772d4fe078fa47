package main

import (
	"errors"
	"fmt"

	"parley/server"
)

// maxPlainHosts bounds COPILOT_ALLOW_HTTP: there is one agent, and a few names of it.
const maxPlainHosts = 16

// allowHTTP takes whole hosts only: a pattern, a port or a scheme would look as if it were
// heeded.
func allowHTTP(c *config, v string) error {
	if err := list(func(c *config) *[]string { return &c.endpoint.AllowHTTP })(c, v); err != nil {
		return err
	}
	if len(c.endpoint.AllowHTTP) > maxPlainHosts {
		return errors.New("names too many")
	}
	for i, name := range c.endpoint.AllowHTTP {
		if name == "true" || name == "false" {
			return errors.New("does not say which")
		}
		if hostAddress(&c.endpoint.AllowHTTP[i], name) != nil {
			return errors.New("has something that is no host alone")
		}
	}
	return nil
}

// warnOfHTTP says what COPILOT_ALLOW_HTTP lets others read, or that it does nothing.
func (c *config) warnOfHTTP() {
	if len(c.endpoint.AllowHTTP) == 0 {
		return
	}
	host := c.plainHost()
	if host == "" {
		c.warnings = append(c.warnings, "COPILOT_ALLOW_HTTP has no effect: no other machine is spoken to over http")
		return
	}
	c.warnings = append(c.warnings, fmt.Sprintf("COPILOT_ALLOW_HTTP: what is said and the token go to %s over http, where everybody in between can read and change them; this is for an emulated agent", host))
}

// plainHost is the other machine to which http is spoken, "" for none.
func (c *config) plainHost() string {
	host := c.endpoint.PlainHost()
	if c.emulator || server.IsLoopback(host) {
		return ""
	}
	return host
}

// emulatedAgent reports whether the agent is taken for an emulated one: that in this
// process, or one on another machine over http, which Copilot Studio does not speak.
func (c *config) emulatedAgent() bool { return c.emulator || c.plainHost() != "" }

// agentTitle is what is said of an agent that is not in this process.
func (c *config) agentTitle() string {
	if host := c.plainHost(); host != "" {
		return "agent at " + host + " over http"
	}
	return "Copilot Studio"
}
