package redis

import (
	"context"
	"errors"
	"slices"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"parley/store"
)

const (
	// askAtOnce is how many primaries are asked for the map, and how many of the
	// configured addresses beside them.
	askAtOnce = 3
	// askGrace is how long the others are waited for once half of them have answered.
	askGrace = 50 * time.Millisecond
)

// said is what one node said, or why it said nothing.
type said struct {
	claims []claim
	err    error
	seed   bool // it was asked at a configured address that is none of the map's
}

// askAround asks up to three primaries and three of the configured addresses, all at
// the same time, which primary has which slot. If none of them answers, the other
// configured addresses are asked. The error is why there is no answer.
func (c *cluster) askAround() (answers [][]claim, err error) {
	defer c.forgetAskers()
	seeds := rotated(c.seeds, c.turn)
	first := c.voters()
	for len(seeds) > 0 || len(first) > 0 {
		n := min(askAtOnce, len(seeds))
		var why error
		answers, why = c.askAll(append(first, seeds[:n]...))
		if len(answers) > 0 {
			return answers, nil
		}
		err = moreTelling(err, why)
		first, seeds = nil, seeds[n:]
	}
	return nil, err
}

// voters are the addresses of up to three primaries, other ones each time. Those do
// not count that are known not to answer.
func (c *cluster) voters() []string {
	var addrs []string
	for _, n := range c.nodes() {
		if n.current.Load().open.Load() == nil {
			addrs = append(addrs, n.addr)
		}
	}
	return slices.Clip(rotated(addrs, c.turn)[:min(askAtOnce, len(addrs))])
}

// rotated is a list that begins elsewhere each turn.
func rotated(list []string, turn int) []string {
	if len(list) <= askAtOnce {
		return list
	}
	at := turn * askAtOnce % len(list)
	return slices.Concat(list[at:], list[:at])
}

// deciding are the answers that have a vote. A configured address may be another name
// of a primary, which would then have two votes. So it has none where two primaries say
// who has the slots. It decides where all of them moved, or have left the cluster.
func deciding(primaries, seeds [][]claim) [][]claim {
	say := 0
	for _, claims := range primaries {
		if len(claims) > 0 {
			say++
		}
	}
	if say >= 2 {
		return primaries
	}
	return append(primaries, seeds...)
}

// askAll asks nodes at the same time. It waits until all have answered, or half of
// them have and the others are late. A node that still owes an answer to the question
// before is not asked.
func (c *cluster) askAll(addrs []string) (votes [][]claim, why error) {
	announced := map[string]bool{}
	for _, n := range c.nodes() {
		announced[n.addr] = true
	}
	var primaries, seeds [][]claim
	results := make(chan said, len(addrs))
	asked := 0
	for i, addr := range addrs {
		if slices.Contains(addrs[:i], addr) {
			continue
		}
		asked++
		a := c.asker(addr)
		if !a.busy.CompareAndSwap(false, true) {
			results <- said{err: context.DeadlineExceeded}
			continue
		}
		a.used = time.Now()
		c.running.Go(func() {
			claims, err := a.ask(c.life)
			a.busy.Store(false)
			results <- said{claims, err, !announced[addr]}
		})
	}
	grace := time.NewTimer(askGrace)
	grace.Stop()
	for ended := 0; ended < asked; {
		select {
		case r := <-results:
			ended++
			if r.err != nil {
				why = moreTelling(why, r.err)
				continue
			}
			if r.seed {
				seeds = append(seeds, r.claims)
			} else {
				primaries = append(primaries, r.claims)
			}
			if 2*(len(primaries)+len(seeds)) >= asked {
				grace.Reset(askGrace)
			}
		case <-grace.C:
			return deciding(primaries, seeds), why
		}
	}
	return deciding(primaries, seeds), why
}

// asker is that of an address.
func (c *cluster) asker(addr string) *asker {
	a := c.askers[addr]
	if a == nil {
		opt := c.maker.opt
		opt.Addr, opt.Dialer, opt.PoolSize = addr, c.maker.signIn.dialer(&state{}, c.dial(addr)), 1
		a = &asker{addr: addr, create: func() *goredis.Client { own := opt; return goredis.NewClient(&own) }}
		c.askers[addr] = a
	}
	return a
}

// forgetAskers closes what was not used for long.
func (c *cluster) forgetAskers() {
	for addr, a := range c.askers {
		if time.Since(a.used) > askerLife && a.busy.CompareAndSwap(false, true) {
			a.close()
			delete(c.askers, addr)
		}
	}
}

// moreTelling is the one of two causes that an operator has more of: one that does not
// pass by itself before an answer, and an answer before none. Of equals it is the first.
func moreTelling(a, b error) error {
	if telling(b) > telling(a) {
		return b
	}
	return a
}

func telling(err error) int {
	if err == nil {
		return 0
	}
	e, ok := errors.AsType[*store.Error](err)
	if !ok {
		e, ok = errors.AsType[*store.Error](classify(context.Background(), context.Background(), "", err))
	}
	var refusal goredis.Error
	switch {
	case !ok:
		return 1
	case !e.Transient():
		return 4
	case errors.As(e.Cause, &refusal):
		return 3
	}
	return 2
}
