package mutants

import (
	"context"
	"crypto/rand"
	"time"

	"parley/store"
)

// repeats are wrong about calls that come twice, late, or after somebody else's.
func repeats() []Mutant {
	return []Mutant{
		{
			Name: "forgets-unheard", Wrong: "It treats every answer as one that its caller has heard.",
			Rules: []string{"S11.unheard", "S11.hearing-ends"},
			Break: changingCompletion(func(c *store.Completion) { c.Unheard = false }),
		},
		{
			Name: "takes-late-for-heard", Wrong: "It holds a lapsed lease again before it completes, so that nothing says how late it was.",
			Rules: []string{"S11.late"},
			Break: breaking(func(m *broken, _ Options) {
				m.complete = func(ctx context.Context, t store.Turn, c store.Completion) error {
					_, _ = m.Store.RenewLease(ctx, t)
					return m.Store.CompleteTurn(ctx, t, c)
				}
			}),
		},
		{
			Name: "replays-for-ever", Wrong: "It replays an answer that nobody heard for as long as it lives.",
			Rules: []string{"S11.unheard", "S11.hearing-ends"},
			Break: breaking(replaysForEver),
		},
		{
			Name: "ends-only-once", Wrong: "It refuses to complete or fail a turn a second time.",
			Rules: []string{"S6.complete-twice", "S6.fail-twice", "S11.unheard", "S17.delete", "S18.canceled", "S25.lost", "S31.repeats"},
			Break: breaking(endsOnce),
		},
		{
			Name: "hides-that-it-is-stale", Wrong: "It reports success to a turn that another has replaced.",
			Rules: []string{"S7.stale", "S7.ended"},
			Break: hiding(store.ErrStale),
		},
		{
			Name: "ends-with-the-lease", Wrong: "It takes a turn away when its lease lapses, although nobody wants it.",
			Rules: []string{"S7.lapsed", "S19.revive", "S15.renewed", "S25.lost", "S27.listened", "S28.outcome", "S11.late"},
			Break: breaking(endsWithLease),
		},
		{
			Name: "tells-no-inputs-apart", Wrong: "It treats all inputs as the same.",
			Rules: []string{"S8.fail", "S7.ended", "S11.other", "S10.mismatch", "S11.unheard", "S9.busy-closed", "S30.same", "S13.failures", "S31.turns", "S28.outcome"},
			Break: changingBegin(func(b *store.Begin) { b.Fingerprint = "same" }),
		},
		{
			Name: "takes-all-inputs-for-new", Wrong: "It never recognises the same input without a key.",
			Rules: []string{
				"S7.stale", "S11.repeat", "S11.repeat-lapsed", "S11.unheard", "S19.renew", "S9.handed-on",
				"S11.hearing-ends", "S9.busy-closed", "S29.stop", "S30.same", "S31.repeats", "S11.late", "S32.starting",
			},
			Break: changingBegin(func(b *store.Begin) {
				if b.Key == "" {
					b.Fingerprint = rand.Text()
				}
			}),
		},
		{
			Name: "adopts-what-was-answered", Wrong: "It takes a repeat of an answered input for the turn that it was before.",
			Rules: []string{"S3.begin", "S11.unheard", "S11.answered", "S11.hearing-ends", "S9.busy-closed", "S25.lost", "S11.late"},
			Break: breaking(adoptsAnswered),
		},
		{
			Name: "does-not-renew-leases", Wrong: "It acknowledges the renewal of a lease and does not renew it.",
			Rules: []string{
				"S7.stale", "S7.ended", "S19.renew", "S19.revive", "S17.delete", "S18.canceled", "S25.lost",
				"S27.listened", "S29.stop", "S30.same", "S32.starting",
			},
			Break: breaking(func(m *broken, _ Options) {
				m.renew = func(context.Context, store.Turn) (store.Signals, error) { return store.Signals{}, nil }
			}),
		},
	}
}

func replaysForEver(m *broken, _ Options) {
	var told table[store.Turn] // by conversation and fingerprint
	m.begin = func(ctx context.Context, b store.Begin) (store.Turn, error) {
		if t, ok := told.get(b.Conversation + b.Fingerprint); ok && b.Key == "" {
			return t, nil
		}
		t, err := m.Store.BeginTurn(ctx, b)
		if t.Replay != nil && b.Key == "" {
			told.set(b.Conversation+b.Fingerprint, t)
		}
		return t, err
	}
}

func endsOnce(m *broken, _ Options) {
	var ended table[bool]
	once := func(t store.Turn, end func() error) error {
		if again, _ := ended.get(t.Token); again {
			return store.ErrStale
		}
		ended.set(t.Token, true)
		return end()
	}
	m.complete = func(ctx context.Context, t store.Turn, c store.Completion) error {
		return once(t, func() error { return m.Store.CompleteTurn(ctx, t, c) })
	}
	m.fail = func(ctx context.Context, t store.Turn, class string) error {
		return once(t, func() error { return m.Store.FailTurn(ctx, t, class) })
	}
}

func endsWithLease(m *broken, o Options) {
	var until table[time.Time]
	lapsed := func(t store.Turn) bool {
		end, ok := until.get(t.Token)
		return ok && o.now().After(end)
	}
	m.begin = func(ctx context.Context, b store.Begin) (store.Turn, error) {
		t, err := m.Store.BeginTurn(ctx, b)
		until.set(t.Token, o.now().Add(store.LeaseTime))
		return t, err
	}
	m.complete = func(ctx context.Context, t store.Turn, c store.Completion) error {
		if lapsed(t) {
			return store.ErrStale
		}
		return m.Store.CompleteTurn(ctx, t, c)
	}
	m.renew = func(ctx context.Context, t store.Turn) (store.Signals, error) {
		if lapsed(t) {
			return store.Signals{}, store.ErrStale
		}
		until.set(t.Token, o.now().Add(store.LeaseTime))
		return m.Store.RenewLease(ctx, t)
	}
}

func adoptsAnswered(m *broken, _ Options) {
	var begun table[store.Turn] // by conversation and fingerprint
	var answered table[bool]    // by token
	m.begin = func(ctx context.Context, b store.Begin) (store.Turn, error) {
		before, known := begun.get(b.Conversation + b.Fingerprint)
		if done, _ := answered.get(before.Token); known && done && b.Key == "" {
			before.Adopted = true
			return before, nil
		}
		t, err := m.Store.BeginTurn(ctx, b)
		if err == nil {
			begun.set(b.Conversation+b.Fingerprint, t)
		}
		return t, err
	}
	m.complete = func(ctx context.Context, t store.Turn, c store.Completion) error {
		answered.set(t.Token, true)
		return m.Store.CompleteTurn(ctx, t, c)
	}
}
