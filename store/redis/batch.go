package redis

import (
	"bytes"
	"context"

	goredis "github.com/redis/go-redis/v9"
)

// batch is commands that are sent together and whose replies are read as they came, in
// the same order. A page of a list has many of them, of many strings each, and the
// library's own commands and results are an allocation for each of all these.
type batch struct {
	commands []rawCommand
	args     []any
	read     int // replies that were asked for
}

// newBatch has room for so many commands, of so many arguments together.
func newBatch(commands, args int) *batch {
	return &batch{commands: make([]rawCommand, 0, commands), args: make([]any, 0, args)}
}

// add adds a command. Keys are given as pointers, because a string in an interface is an
// allocation of its own.
func (b *batch) add(args ...any) {
	from := len(b.args)
	b.args = append(b.args, args...)
	b.addFrom(from)
}

// addAll is add with arguments that are many.
func (b *batch) addAll(name string, key *string, args []string) {
	from := len(b.args)
	b.args = append(b.args, name, key)
	for i := range args {
		b.args = append(b.args, &args[i])
	}
	b.addFrom(from)
}

func (b *batch) addFrom(from int) {
	b.commands = append(b.commands, rawCommand{args: b.args[from:len(b.args):len(b.args)]})
}

// send sends them. It fails when nothing was sent, of which the commands may know nothing.
// Else each reply says whether its command failed.
func (b *batch) send(ctx context.Context, c *client) error {
	cmds := make([]goredis.Cmder, len(b.commands))
	for i := range b.commands {
		cmds[i] = &b.commands[i]
	}
	p := c.Pipeline()
	_ = p.BatchProcess(ctx, cmds...) // only keeps them
	return send(ctx, p)
}

// next is the reply to the next of the commands, or its error.
func (b *batch) next() (rawReply, error) {
	c := &b.commands[b.read]
	b.read++
	return rawReply{c.Val()}, c.Err()
}

// number is the next reply, which must be a number.
func (b *batch) number() (int, error) {
	r, err := b.next()
	if err != nil {
		return 0, err
	}
	return r.number()
}

// text is the next reply, which must be a string, or none.
func (b *batch) text() (text []byte, there bool, err error) {
	r, err := b.next()
	if err != nil {
		return nil, false, err
	}
	return r.text()
}

// rawCommand is one of a batch. To the library it is a command whose reply it leaves as it
// is, an error among them: that is found here, so that the library and its hooks,
// which follow redirects, learn of it.
type rawCommand struct {
	goredis.RawCmd
	args []any
}

// Args implements goredis.Cmder.
func (c *rawCommand) Args() []any { return c.args }

// Name implements goredis.Cmder.
func (c *rawCommand) Name() string {
	name, _ := c.args[0].(string)
	return name
}

// FullName implements goredis.Cmder.
func (c *rawCommand) FullName() string { return c.Name() }

// SetErr implements goredis.Cmder. The library calls it for every reply.
func (c *rawCommand) SetErr(err error) {
	if reply := c.Val(); err == nil && len(reply) > 0 && (reply[0] == '-' || reply[0] == '!') {
		err = refusalOf(reply)
	}
	c.RawCmd.SetErr(err)
}

// refusal is an error that Redis answered with.
type refusal string

var _ goredis.Error = refusal("")

func (r refusal) Error() string { return string(r) }

// RedisError marks it as such for the library.
func (refusal) RedisError() {}

// refusalOf reads an error reply: a line, or what follows the line with its length.
func refusalOf(reply []byte) refusal {
	line, rest, _ := bytes.Cut(reply, []byte("\r\n"))
	if reply[0] == '!' {
		return refusal(bytes.TrimSuffix(rest, []byte("\r\n")))
	}
	return refusal(line[1:])
}
