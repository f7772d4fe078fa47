package redis

import (
	"context"
	"errors"

	goredis "github.com/redis/go-redis/v9"
)

// unit is what is sent to a node together: a command and, if there is one behind it,
// the WAIT for what the same connection has written.
type unit struct {
	cmds []goredis.Cmder
	host string // of the node that answered last
}

func (u *unit) err() error { return u.cmds[0].Err() }

func (u *unit) fail(err error) {
	for _, cmd := range u.cmds {
		cmd.SetErr(err)
	}
}

// stop is where a redirect leads.
type stop struct {
	addr string
	ask  bool // for this command only
}

// next is where the unit has to go. It is not known if it has to wait where it is, or
// the node that answered does not know the name of the other.
func (u *unit) next() (to stop, known bool) {
	said, moved := goredis.IsMovedError(u.err())
	if !moved {
		said, to.ask = goredis.IsAskError(u.err())
	}
	if moved || to.ask {
		to.addr, known = redirectTo(said, u.host)
	}
	return to, known
}

// units are those of a pipeline that were turned away by a node on a host.
func units(cmds []goredis.Cmder, host string) (away []*unit) {
	for i := 0; i < len(cmds); i++ {
		u := &unit{cmds: cmds[i : i+1], host: host}
		if i+1 < len(cmds) && cmds[i+1].Name() == "wait" {
			u.cmds = cmds[i : i+2]
			i++
		}
		if turnedAway(u.err()) {
			away = append(away, u)
		}
	}
	return away
}

func commands(all []*unit) (cmds []goredis.Cmder) {
	for _, u := range all {
		cmds = append(cmds, u.cmds...)
	}
	return cmds
}

// travel has units go where they are told to, up to maxRedirects times. It returns
// those that nobody took, and whether it may help to begin anew: it does while a slot
// is being moved.
func (r *redirects) travel(ctx context.Context, away []*unit) (rest []*unit, passing bool) {
	visited := map[string]bool{r.node.addr: true}
	for hops := 0; len(away) > 0; hops++ {
		var stops []stop
		waiting := map[stop][]*unit{}
		again := false
		for _, u := range away {
			to, known := u.next()
			passing = passing || to.ask || !known
			if !known || hops == maxRedirects {
				rest = append(rest, u)
				continue
			}
			if waiting[to] == nil {
				stops = append(stops, to)
			}
			waiting[to] = append(waiting[to], u)
			again = again || visited[to.addr]
		}
		if again && !pause(ctx) {
			return append(rest, away...), false
		}
		away = nil
		for _, to := range stops {
			visited[to.addr] = true
			r.send(ctx, to, waiting[to])
			for _, u := range waiting[to] {
				if turnedAway(u.err()) {
					away = append(away, u)
				}
			}
		}
	}
	return rest, passing
}

// send sends units to another node. Errors of its own are marked as that node's.
func (r *redirects) send(ctx context.Context, to stop, all []*unit) {
	n, err := r.cluster.reach(to.addr)
	var c *client
	if err == nil {
		c, err = n.get()
	}
	if err != nil {
		for _, u := range all {
			u.fail(&elsewhere{err, n, nil})
		}
		return
	}
	var cmds []goredis.Cmder
	for _, u := range all {
		if to.ask {
			cmds = append(cmds, goredis.NewStatusCmd(ctx, "asking"))
		}
		cmds = append(cmds, u.cmds...)
		u.host = hostOf(to.addr)
	}
	ctx = context.WithValue(ctx, redirected{}, true)
	if len(cmds) == 1 {
		_ = c.Process(ctx, cmds[0])
	} else {
		p := c.Pipeline()
		_ = p.BatchProcess(ctx, cmds...)
		_, _ = p.Exec(ctx)
	}
	answered := true
	for _, u := range all {
		for _, cmd := range u.cmds {
			var reply goredis.Error
			if err := cmd.Err(); err != nil && !errors.As(err, &reply) {
				cmd.SetErr(&elsewhere{err, n, c})
				answered = false
			}
		}
	}
	if answered {
		c.succeed()
	}
}

// elsewhere is an error of another node than the one that the call began on.
type elsewhere struct {
	error
	node   *node   // nil if the store is closed, or there are too many
	client *client // nil if there was none to send with
}

func (e *elsewhere) Unwrap() error { return e.error }
