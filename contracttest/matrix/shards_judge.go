package matrix

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"time"
)

// What is promised of shards beside what is promised of every row.
const (
	healthyRatio = 1.2                   // of the p99 of shards that are well
	openLimit    = 20 * time.Millisecond // for the p99 of one that is hurt and answers at once
)

func (e *ShardEntry) breaks(format string, args ...any) {
	e.Broken = append(e.Broken, fmt.Sprintf(format, args...))
}

// judge holds the calls against what was promised.
func (e *ShardEntry) judge(b *shardbed, when times) {
	var calm, under, open []time.Duration
	e.Hurt, e.Others = map[string]int{}, map[string]int{}
	e.Calls, e.Machine = len(b.load.calls), b.baseline.Max()
	due := when.ended.Add(b.back())
	late := map[string]int{} // failures of the hurt shard when it should be back
	for _, c := range b.load.calls {
		class := cmp.Or(c.class, "ok")
		if mayTimeOut := c.shard == b.shard && b.row.Hurt.allows(c.class); !mayTimeOut && b.heldUp(c) {
			e.Stalled++
			continue
		}
		if c.shard != b.shard {
			e.Others[class]++
			if c.began.Before(when.injected) {
				calm = append(calm, c.took)
			} else {
				under = append(under, c.took)
			}
			if c.failed() && (!b.row.Others.allows(c.class) || c.began.After(due)) {
				e.breaks("%s of another shard: %s after %v", c.op, c.class, c.took)
			}
			continue
		}
		if c.ended().Before(when.injected) {
			if c.failed() {
				e.breaks("%s before the fault: %s", c.op, c.class)
			}
			continue
		}
		e.Hurt[class]++
		if c.failed() && !b.row.Hurt.allows(c.class) {
			e.breaks("%s of the hurt shard: %s", c.op, c.class)
		}
		if c.began.After(when.open) && c.ended().Before(when.ended) {
			open = append(open, c.took)
		}
		// A new primary has no replica that anybody could wait for.
		if c.failed() && c.began.After(due) && (b.row.Wait == 0 || c.op != completing) {
			late[c.class]++
		}
		if !c.failed() && c.ended().After(when.ended) {
			if back := c.ended().Sub(when.ended); e.Back == 0 || back < e.Back {
				e.Back = back
			}
		}
		if c.failed() && c.ended().After(when.ended) {
			e.Settled = max(e.Settled, c.ended().Sub(when.ended))
		}
		limit := b.waited()
		if b.row.Unnoticed {
			limit = b.atOnce()
		}
		if c.took > limit {
			e.breaks("%s of the hurt shard took %v, allowed are %v", c.op, c.took, limit)
		}
	}
	e.Calm, e.Under, e.Open = p99(calm), p99(under), p99(open)
	if limit := time.Duration(healthyRatio*float64(e.Calm)) + hops*e.Machine; len(b.row.Others) == 0 && e.Under > limit {
		e.breaks("p99 of shards that are well is %v, allowed are %v", e.Under, limit)
	}
	if b.row.Opens {
		if limit := openLimit + b.late(); len(open) == 0 || e.Open > limit {
			e.breaks("%d calls of the hurt shard after it should answer at once, with a p99 of %v, allowed are %v", len(open), e.Open, limit)
		}
		if b.row.Hurt != nil && e.Hurt["ok"] == e.calls(e.Hurt) {
			e.breaks("the hurt shard did not fail")
		}
	}
	// Who waits for a replica says nothing else meanwhile.
	if b.row.Wait == 0 && (e.Back == 0 || e.Back > b.back()) {
		e.breaks("the first good answer of the hurt shard came %v after the fault, allowed are %v", e.Back, b.back())
	}
	for _, class := range slices.Sorted(maps.Keys(late)) {
		e.breaks("the hurt shard answers %s, %d times, later than %v after the fault", class, late[class], b.back())
	}
	e.Broken = append(e.Broken, b.load.wrong...)
	e.Broken = abridged(e.Broken)
}

// heldUp says that a call timed out while the machine stood still for so long that this is
// why.
func (b *shardbed) heldUp(c call) bool {
	return c.class == "store_timeout" && stepsOfAnswer*b.baseline.During(c.began, c.ended()) > b.timeout
}

func (e *ShardEntry) calls(answers map[string]int) (sum int) {
	for _, n := range answers {
		sum += n
	}
	return sum
}

// abridged are the first few of what may be thousands.
func abridged(all []string) []string {
	const most = 12
	if len(all) <= most {
		return all
	}
	return append(all[:most:most], fmt.Sprintf("and %d more", len(all)-most))
}
