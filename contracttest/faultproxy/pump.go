package faultproxy

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"slices"
	"syscall"
	"time"
)

// read reads commands until the client closes the connection. After a cut it still
// reads and discards what arrives: the kernel would answer unread data with a RST.
func (c *conn) read() {
	defer close(c.commands)
	for {
		command, raw, err := readCommand(c.reader)
		switch {
		case errors.Is(err, errMalformed), errors.Is(err, errTooLong):
			c.cut(RST)
			return
		case err != nil:
			c.leave(false)
			return
		}
		select {
		case c.commands <- arrival{command, raw, time.Now()}:
		case <-c.dead:
			_, _ = io.Copy(io.Discard, c.reader)
			return
		}
	}
}

// handle processes the commands in order, until the client has closed the connection
// and all of them are processed.
func (c *conn) handle() {
	defer func() {
		_ = c.up.CloseWrite()
		_ = c.up.SetReadDeadline(time.Now().Add(linger))
	}()
	for {
		select {
		case a, ok := <-c.commands:
			if !ok {
				return
			}
			if !c.muted() {
				c.forward(a)
			}
		case <-c.dead:
			return
		}
	}
}

func (c *conn) forward(a arrival) {
	number, gate := c.p.recorder.note(a.Command)
	if gate != nil && !c.pass(gate) {
		return
	}
	if !c.passSilence(Requests) {
		c.silent.Store(true)
		return
	}
	e := &exchange{Command: a.Command, number: number}
	if f := c.p.fault.Load(); f.hits(a.Command) {
		e.fault = f
		if f.delay > 0 && !c.sleep(f, time.Until(a.at.Add(f.delay))) {
			return
		}
		switch f.before.act {
		case answer:
			if c.drain() {
				c.write([]byte(f.before.reply))
			}
			return
		case end:
			if c.drain() {
				c.cut(f.before.how)
			}
			return
		case lose:
			if c.drain() {
				c.silent.Store(true)
			}
			return
		case pass:
		}
	}
	c.mu.Lock()
	c.waiting = append(c.waiting, e)
	c.mu.Unlock()
	c.throttled(Requests, a.raw, func(piece []byte) {
		_, _ = c.up.Write(piece) // when it fails, replies ends as well
	})
}

// replies delivers replies until Redis closes the connection, and then closes the
// client's side too.
func (c *conn) replies() {
	r := bufio.NewReaderSize(c.up, peekSize)
	var frame []byte
	var err error
	for {
		if cap(frame) > chunk {
			frame = nil // do not keep the memory of one long reply
		}
		if frame, err = readFrame(r, frame[:0]); err != nil {
			break
		}
		c.deliver(c.first(frame), frame)
		if frame[0] != '>' {
			c.shift()
		}
	}
	if c.passSilence(Replies) && !c.silent.Load() {
		how := FIN
		if errors.Is(err, syscall.ECONNRESET) || errors.Is(err, errTooLong) || errors.Is(err, errMalformed) {
			how = RST
		}
		c.cut(how)
	}
	c.abandon()
}

// notRun are the errors by which Redis says that it has run nothing of a command,
// because it has no such script or another node has the keys.
var notRun = [][]byte{[]byte("-NOSCRIPT "), []byte("-MOVED "), []byte("-ASK "), []byte("-TRYAGAIN "), []byte("-CLUSTERDOWN ")}

// ran reports whether Redis has run the command that this is the reply to.
func ran(reply []byte) bool {
	return !slices.ContainsFunc(notRun, func(prefix []byte) bool { return bytes.HasPrefix(reply, prefix) })
}

// deliver sends a reply to the client, after the fault of its command was applied.
// Pushes and other messages that answer no command have no exchange.
func (c *conn) deliver(e *exchange, frame []byte) {
	if e != nil && ran(frame) {
		if gate := c.p.recorder.executed(e.number, e.Command); gate != nil && !c.pass(gate) {
			return
		}
	}
	if !c.passSilence(Replies) {
		return
	}
	if e == nil || e.fault == nil {
		c.write(frame)
		return
	}
	switch after := e.fault.after; after.act {
	case answer:
		c.write([]byte(after.reply))
	case end:
		c.write(frame[:min(after.keep, len(frame)-1)])
		c.cut(after.how)
	case lose:
		c.silent.Store(true)
	case pass:
		c.drip(e.fault, frame)
	}
}

// drip writes a reply at the rate of the fault.
func (c *conn) drip(f *active, frame []byte) {
	for f.drip > 0 && len(frame) > 1 && !c.ended(f.ended) && !c.ended(c.left) {
		c.write(frame[:1])
		frame = frame[1:]
		if !c.sleep(f, f.drip) {
			return
		}
	}
	c.write(frame)
}

// muted reports whether nothing is forwarded any more. That includes a connection that
// is being cut: nothing may be forwarded between the cut and the close of the socket.
func (c *conn) muted() bool { return c.silent.Load() || c.ended(c.dead) }

func (c *conn) write(b []byte) {
	c.throttled(Replies, b, func(piece []byte) {
		if !c.muted() {
			_, _ = c.client.Write(piece) // when it fails, read ends as well
		}
	})
}

// piece is how many bytes of one connection a throttled line carries before those
// of the next.
const piece = 8 << 10

// throttled passes bytes on as fast as the line carries them, until the client has
// left.
func (c *conn) throttled(d Direction, b []byte, pass func([]byte)) {
	for len(b) > 0 {
		n := len(b)
		if f := c.p.fault.Load(); f.rate > 0 {
			n = min(n, piece)
			if !c.sleep(f, f.carry(d, n)) || d == Replies && c.ended(c.left) {
				return
			}
		}
		pass(b[:n])
		b = b[n:]
	}
}

// first returns the command that the next reply belongs to, nil if there is none.
func (c *conn) first(frame []byte) *exchange {
	c.mu.Lock()
	defer c.mu.Unlock()
	if frame[0] == '>' || len(c.waiting) == 0 {
		return nil
	}
	return c.waiting[0]
}

// shift records that the first command's reply has been delivered.
func (c *conn) shift() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.waiting) > 0 {
		c.waiting = c.waiting[1:]
	}
	c.tell()
}

// abandon records that no more replies will come.
func (c *conn) abandon() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.waiting = nil
	c.tell()
}

func (c *conn) tell() {
	if len(c.waiting) == 0 && c.drained != nil {
		close(c.drained)
		c.drained = nil
	}
}

// drain waits until all forwarded commands are answered, so that a reply of the proxy
// itself keeps its place in a pipeline.
func (c *conn) drain() bool {
	c.mu.Lock()
	if len(c.waiting) == 0 {
		c.mu.Unlock()
		return true
	}
	drained := make(chan struct{})
	c.drained = drained
	c.mu.Unlock()
	select {
	case <-drained:
		return true
	case <-c.dead:
	case <-c.p.ctx.Done():
	}
	return false
}

// pass waits at a gate.
func (c *conn) pass(g *Gate) bool {
	select {
	case <-g.release:
		return true
	case <-c.p.ctx.Done():
		return false
	}
}

// passSilence waits while a black hole holds back that half of the connection. It
// reports false if the client has closed the connection by then.
func (c *conn) passSilence(d Direction) bool {
	for {
		f := c.p.fault.Load()
		if !f.swallows(d, c.number) {
			return true
		}
		if !c.wait(f) {
			return false
		}
	}
}

// wait waits until a fault is removed. It reports false if the client closes the
// connection first.
func (c *conn) wait(f *active) bool {
	select {
	case <-f.ended:
		return !c.ended(c.left)
	case <-c.left:
	case <-c.p.ctx.Done():
	}
	return false
}

// sleep waits for a duration, or until the fault is removed.
func (c *conn) sleep(f *active, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-f.ended:
	case <-c.p.ctx.Done():
		return false
	}
	return true
}
