package main

import (
	"testing"
	"time"

	"parley/contracttest/faultproxy"
	"parley/contracttest/redistest"
)

// In a real browser, on two instances: whatever breaks, the user sees what was said,
// once; the agent was asked once; and what is stored is what was seen.
func TestBrowser(t *testing.T) {
	b := newBrowser(t)
	redis := redistest.Start(t)
	for name, scenario := range map[string]func(*testing.T, *site){
		"answer seen while it comes":                              answerComes,
		"reload in the middle of an answer":                       reloaded,
		"connection reset in the middle of an answer":             streamReset,
		"instance killed in the middle of an answer":              streamKilled,
		"connection reset, browser repeats on the other instance": resetKept(1),
		"connection reset, page repeats on the other instance":    resetFresh(1),
		"answer stopped":                            stopped,
		"connection reset, browser repeats":         resetKept(0),
		"connection reset, page repeats":            resetFresh(0),
		"two quick sends":                           twoQuickSends,
		"message after the agent's end":             afterTheEnd,
		"Redis stands still while the agent thinks": func(t *testing.T, s *site) { redisStops(t, s, redis) },
		"Redis stands still when the agent answers": func(t *testing.T, s *site) { redisMissesTheAnswer(t, s, redis, 0) },
		"Redis stands still when the agent answers, page repeats on the other instance": func(t *testing.T, s *site) { redisMissesTheAnswer(t, s, redis, 1) },
		"instance killed": instanceKilled,
	} {
		t.Run(name, func(t *testing.T) { scenario(t, newSite(t, b, redis)) })
	}
}

// resetKept resets, in mid-turn, a connection that had served before: the browser
// itself repeats the request, and the page does not know. The repeat reaches the
// instance given by its number; the turn runs on instance 0.
func resetKept(repeat int) func(*testing.T, *site) {
	return func(t *testing.T, s *site) {
		s.resetInMidTurn(repeat)
		if n := s.page.tries(); n != 1 {
			t.Errorf("the page tried %d times: it was to be the browser that repeats", n)
		}
	}
}

// resetFresh resets one that had not: the page sees a network error, and repeats.
func resetFresh(repeat int) func(*testing.T, *site) {
	return func(t *testing.T, s *site) {
		s.balancer.keepAlive(false)
		// The page has a connection yet from before; this is its last answer.
		s.page.say("before")
		s.page.settle()
		s.resetInMidTurn(repeat, "user: before", answerOf(1, "before"))
		if n := s.page.tries(); n != 3 {
			t.Errorf("the page tried %d times, want one for the first message and two for the second", n)
		}
	}
}

func (s *site) resetInMidTurn(repeat int, before ...string) {
	s.t.Helper()
	const path = "/api/chat/send"
	came, other := s.balancer.came(path), s.instances[repeat].redis
	s.balancer.choose(0)
	s.agent.hold(0)
	s.page.say("hello")
	waitFor(s.t, func() bool { return s.agent.holding() == 1 })
	asked := other.Executions(faultproxy.Scripts())
	s.balancer.choose(repeat)
	if n := s.balancer.reset(path); n != 1 {
		s.t.Errorf("%d connections were reset", n)
	}
	waitFor(s.t, func() bool { return s.balancer.came(path) == came+2 })
	if repeat != 0 { // it knows of the turn from Redis only: later, this would be a repeat of a turn that is over
		waitFor(s.t, func() bool { return other.Executions(faultproxy.Scripts()) > asked })
	}
	s.agent.letGo()
	s.page.settle()
	turn := 1 + len(before)/2
	s.saw([]int{0, 1}, append(before, "user: hello", answerOf(turn, "hello"))...)
	s.askedOnce("hello")
}

// Two messages within 300 ms, on different instances, are both answered, in order.
func twoQuickSends(_ *testing.T, s *site) {
	s.agent.hold(0)
	s.page.say("one")
	waitFor(s.t, func() bool { return s.agent.holding() == 1 })
	s.page.say("two")
	waitFor(s.t, func() bool { return s.balancer.came("/api/chat/send") == 2 })
	s.agent.letGo()
	s.page.settle()
	s.saw([]int{0, 1}, "user: one", "user: two", answerOf(1, "one"), answerOf(2, "two"))
	s.askedOnce("one", "two")
}

// The agent ends the conversation, and the user goes on.
func afterTheEnd(_ *testing.T, s *site) {
	s.page.say("/end")
	s.page.settle()
	s.page.say("hello")
	s.page.settle()
	s.saw([]int{0, 1}, "user: /end", "assistant: Goodbye.", "user: hello", answerOf(1, "hello"))
	s.askedOnce("/end", "hello")
}

// standstill is how long Redis stands still: longer than a lease.
const standstill = 7 * time.Second

// Redis stands still while the agent thinks: the turn's lease lapses, and nobody
// takes its place.
func redisStops(t *testing.T, s *site, redis *redistest.Server) {
	s.agent.hold(0)
	s.page.say("hello")
	waitFor(t, func() bool { return s.agent.holding() == 1 })
	redis.Stop(t)
	<-time.After(standstill)
	redis.Continue(t)
	s.agent.letGo()
	s.page.settle()
	s.saw([]int{0, 1}, "user: hello", answerOf(1, "hello"))
	s.askedOnce("hello")
}

// Redis stands still when the agent answers, and runs what it was sent when it goes on.
// If the page has given up by then, the user says the same again. The turn's lease has
// lapsed: who is not the instance that has the answer may take the turn over and ask
// the agent again.
func redisMissesTheAnswer(t *testing.T, s *site, redis *redistest.Server, repeat int) {
	s.balancer.choose(0)
	s.agent.hold(0)
	s.page.say("hello")
	waitFor(t, func() bool { return s.agent.holding() == 1 })
	redis.Stop(t)
	s.balancer.choose(repeat)
	s.agent.letGo()
	<-time.After(standstill)
	redis.Continue(t)
	s.page.settle()
	if s.page.failure() != "" {
		s.recovered()
		s.page.say("hello")
		s.page.settle()
	}
	asked := s.asked()["hello"]
	if asked > 1+repeat {
		t.Errorf("the agent was asked %d times", asked)
	}
	s.saw([]int{0, 1}, "user: hello", answerOf(asked, "hello"))
}

// An instance dies in mid-turn. Its answer is lost with it, so the agent is asked
// again, once, by the instance that the page's own repeat reaches.
func instanceKilled(t *testing.T, s *site) {
	s.balancer.choose(0)
	s.agent.hold(0)
	s.page.say("hello")
	waitFor(t, func() bool { return s.agent.holding() == 1 })
	s.balancer.choose(1)
	s.kill(0)
	s.agent.letGo()
	s.page.settle()
	s.saw([]int{1}, "user: hello", answerOf(2, "hello"))
	if n := s.asked()["hello"]; n != 2 {
		t.Errorf("the agent was asked %d times", n)
	}
}
