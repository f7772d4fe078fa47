package main

import (
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"strings"

	"parley/server"
)

//go:embed try
var tryFiles embed.FS

// traceIDs is what stands for the id in TRACE_URL_TEMPLATE.
const traceIDs = "{traceId}"

// tryPage takes nothing for a yes where the agent is the emulated one, which check does.
func tryPage(c *config, v string) error {
	if v == "" {
		return nil
	}
	c.tryPageGiven = true
	return boolean(func(c *config) *bool { return &c.tryPage })(c, v)
}

// traceURL takes what becomes a link of the page.
func traceURL(c *config, v string) error {
	c.traceURL = v
	if v == "" {
		return nil
	}
	u, err := url.Parse(strings.ReplaceAll(v, traceIDs, "0"))
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Hostname() == "" || u.User != nil {
		return errors.New("is no such URL")
	}
	if !strings.Contains(v, traceIDs) {
		return fmt.Errorf("has no %s in it", traceIDs)
	}
	return nil
}

// newTry makes the page, nil if it is off.
func (s *service) newTry() (*server.Try, error) {
	if !s.config.tryPage {
		return nil, nil
	}
	files, err := fs.Sub(tryFiles, "try")
	if err != nil {
		return nil, err
	}
	t := &server.Try{Files: files, Emulator: s.config.emulatedAgent(), TraceURL: s.config.traceURL, Version: version()}
	if s.store.breakable != nil {
		t.Breakable = s.store.breakable
	}
	return t, nil
}
