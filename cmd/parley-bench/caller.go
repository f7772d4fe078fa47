//go:build linux

package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"
)

// callLimit is how long one answer may take, in whole.
const callLimit = 30 * time.Second

// caller is one connection on which one request is made at a time. It has no goroutine
// of its own and writes a request by one system call, so that the load takes little from
// what it measures on the same processors.
type caller struct {
	conn net.Conn
	in   *bufio.Reader
	body bytes.Buffer // of the last answer
	host string
}

func dial(ctx context.Context, base string) (*caller, error) {
	host := strings.TrimPrefix(base, "http://")
	dialer := net.Dialer{Timeout: callLimit}
	conn, err := dialer.DialContext(ctx, "tcp", host)
	if err != nil {
		return nil, err
	}
	return &caller{conn: conn, in: bufio.NewReaderSize(conn, 16<<10), host: host}, nil
}

func (c *caller) close() { _ = c.conn.Close() }

// request is one as it is written: head and body.
func (c *caller) request(method, path, accept, body string) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s %s HTTP/1.1\r\nHost: %s\r\nAccept: %s\r\n", method, path, c.host, accept)
	if method != http.MethodGet {
		fmt.Fprintf(&b, "Content-Type: application/json\r\nContent-Length: %d\r\n", len(body))
	}
	b.WriteString("\r\n" + body)
	return b.Bytes()
}

// call makes a request and reads the answer to its end, which must be a 200 that holds
// a text.
func (c *caller) call(request []byte, holds string) error {
	if err := c.conn.SetDeadline(time.Now().Add(callLimit)); err != nil {
		return err
	}
	if _, err := c.conn.Write(request); err != nil {
		return err
	}
	resp, err := http.ReadResponse(c.in, nil)
	if err != nil {
		return err
	}
	c.body.Reset()
	_, err = io.Copy(&c.body, resp.Body)
	if err != nil {
		return fmt.Errorf("read an answer: %w", err)
	}
	if err := resp.Body.Close(); err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK || !bytes.Contains(c.body.Bytes(), []byte(holds)) {
		return fmt.Errorf("unexpected answer: %s\n%.300s", resp.Status, c.body.String())
	}
	return nil
}

// opens makes a request and reads no more than the head of the answer, which must be a
// stream. After that the connection can only be closed.
func (c *caller) opens(request []byte) error {
	if err := c.conn.SetDeadline(time.Now().Add(callLimit)); err != nil {
		return err
	}
	if _, err := c.conn.Write(request); err != nil {
		return err
	}
	resp, err := http.ReadResponse(c.in, nil) //nolint:bodyclose // the stream is ended with its connection
	if err != nil {
		return err
	}
	c.in = nil // a buffer for each of many
	if resp.StatusCode != http.StatusOK || resp.Header.Get("Content-Type") != eventStream {
		return fmt.Errorf("unexpected answer: %s, %s", resp.Status, resp.Header.Get("Content-Type"))
	}
	return nil
}
