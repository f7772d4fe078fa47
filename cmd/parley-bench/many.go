//go:build linux

package main

import (
	"context"
	"fmt"
	"net/http"
	"sync"
)

// opening is how many streams are opened at a time.
const opening = 32

// many is what idle streams cost, and what they do to others.
type many struct {
	Subject string `json:"subject"`
	Streams int    `json:"streams"`
	Turns   int    `json:"turns"` // that run, for as long as the streams are open
	// The service's memory without and with them, in bytes.
	ResidentBefore int64 `json:"residentBeforeBytes"`
	ResidentWith   int64 `json:"residentWithBytes"`
	PerStream      int64 `json:"bytesPerStream"`
	// Others send meanwhile, on as many connections as usual.
	Before sample `json:"before"`
	With   sample `json:"with"`
}

// measureMany holds streams open on which nothing comes after a first message: one of each turn is the answer
// to the request that began it, the rest follow those turns.
func (b *bench) measureMany(ctx context.Context, s *subject) (m many, err error) {
	streams, err := holdable(b.options.plan.Streams)
	if err != nil {
		return m, err
	}
	m = many{Subject: s.name, Streams: streams, Turns: b.options.plan.Turns}
	if streams <= m.Turns {
		return m, fmt.Errorf("%d streams can be open here, which is too few: see ulimit -n", streams)
	}
	l, err := newLoad(ctx, s, b.options.plan.cells()[0])
	if err != nil {
		return m, err
	}
	defer l.close()
	if _, _, err := l.run(ctx, b.options.plan.Warm); err != nil {
		return m, err
	}
	if m.Before, err = b.observe(ctx, s, l, b.options.plan.Judged); err != nil {
		return m, err
	}
	m.ResidentBefore = m.Before.Resident

	held := make([]*caller, streams)
	defer func() {
		for _, c := range held {
			if c != nil {
				c.close()
			}
		}
	}()
	ids := make([]string, m.Turns)
	err = atOnce(0, m.Turns, func(i int) (err error) {
		if held[i], err = dial(ctx, s.address); err != nil {
			return err
		}
		if ids[i], err = held[i].startConversation(); err != nil {
			return err
		}
		body := fmt.Sprintf(`{"conversationId":%q,"text":"/stall"}`, ids[i])
		return held[i].opens(held[i].request(http.MethodPost, "/api/chat/send", eventStream, body))
	})
	if err != nil {
		return m, fmt.Errorf("begin a turn without end: %w", err)
	}
	err = atOnce(m.Turns, streams, func(i int) (err error) {
		if held[i], err = dial(ctx, s.address); err != nil {
			return err
		}
		return held[i].opens(held[i].request(http.MethodGet, "/api/chat/conversations/"+ids[i%m.Turns]+"/stream", eventStream, ""))
	})
	if err != nil {
		return m, fmt.Errorf("follow a turn without end: %w", err)
	}
	if m.With, err = b.observe(ctx, s, l, b.options.plan.Judged); err != nil {
		return m, err
	}
	m.ResidentWith = m.With.Resident
	m.PerStream = (m.ResidentWith - m.ResidentBefore) / int64(streams)
	return m, nil
}

// atOnce does something for each number from a range, some at a time.
func atOnce(from, to int, do func(i int) error) error {
	next := make(chan int)
	errs := make([]error, opening)
	var all sync.WaitGroup
	for w := range opening {
		all.Go(func() {
			for i := range next {
				if errs[w] == nil {
					errs[w] = do(i)
				}
			}
		})
	}
	for i := from; i < to; i++ {
		next <- i
	}
	close(next)
	all.Wait()
	return firstOf(errs)
}
