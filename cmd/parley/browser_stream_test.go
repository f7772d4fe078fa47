package main

import (
	"testing"

	"github.com/chromedp/chromedp"
)

// story is an answer that the agent writes word by word.
const story = "A renewal takes eleven days, and a new card takes nine."

// The page of a front end that streams shows an answer while it is written, and never
// anything that is not the beginning of it.
func answerComes(_ *testing.T, s *site) {
	s.page.stream()
	s.agent.hold(4)
	s.page.say("/stream " + story)
	s.page.showing("A renewal takes eleven")
	s.agent.letGo()
	s.page.settle()
	s.saw([]int{0, 1}, "user: /stream "+story, "assistant: "+story)
	s.page.grew(story)
	s.askedOnce("/stream " + story)
}

// The page is loaded again in the middle of an answer, and reaches the other instance:
// it shows what has come so far, and then the rest.
func reloaded(_ *testing.T, s *site) {
	s.page.stream()
	s.balancer.choose(0)
	s.agent.hold(4)
	s.page.say("/stream " + story)
	s.page.showing("A renewal takes eleven")
	s.balancer.choose(1)
	s.page.do(chromedp.Reload())
	s.page.showing("A renewal takes eleven")
	s.agent.hold(7)
	s.page.showing("A renewal takes eleven days, and a")
	s.agent.letGo()
	s.page.settle()
	s.saw([]int{0, 1}, "user: /stream "+story, "assistant: "+story)
	s.page.grew(story)
	s.askedOnce("/stream " + story)
}

// The connection is reset in the middle of an answer; the rest comes from the other
// instance.
func streamReset(t *testing.T, s *site) {
	s.page.stream()
	s.balancer.choose(0)
	s.agent.hold(4)
	s.page.say("/stream " + story)
	s.page.showing("A renewal takes eleven")
	s.balancer.choose(1)
	if n := s.balancer.reset("/api/chat/send"); n != 1 {
		t.Errorf("%d connections were reset", n)
	}
	waitFor(t, func() bool { return s.balancer.came("/api/chat/conversations/"+s.page.conversation()+"/stream") == 1 })
	s.agent.hold(7)
	s.page.showing("A renewal takes eleven days, and a")
	s.agent.letGo()
	s.page.settle()
	s.saw([]int{0, 1}, "user: /stream "+story, "assistant: "+story)
	s.page.grew(story)
	s.askedOnce("/stream " + story)
}

// The instance dies in the middle of an answer. The page is told, and its own repeat
// gets an answer from the other instance.
func streamKilled(t *testing.T, s *site) {
	s.page.stream()
	s.balancer.choose(0)
	s.agent.hold(4)
	s.page.say("/stream " + story)
	s.page.showing("A renewal takes eleven")
	s.balancer.choose(1)
	s.kill(0)
	s.agent.letGo()
	s.page.settle()
	s.saw([]int{1}, "user: /stream "+story, "assistant: "+story)
	s.page.grew(story)
	if n := s.asked()["/stream "+story]; n != 2 {
		t.Errorf("the agent was asked %d times", n)
	}
}

// The user stops an answer, by way of the other instance: what was said stays.
func stopped(t *testing.T, s *site) {
	s.page.stream()
	s.balancer.choose(0)
	s.agent.hold(4)
	s.page.say("/stream " + story)
	s.page.showing("A renewal takes eleven")
	s.balancer.choose(1)
	s.page.do(chromedp.Click(chromedp.CSS("#stop")))
	s.page.settle()
	waitFor(t, func() bool { return s.agent.holding() == 0 }) // the agent was told, too
	s.saw([]int{0, 1}, "user: /stream "+story, "assistant: A renewal takes eleven")
	s.page.grew(story)
	s.askedOnce("/stream " + story)
	s.agent.letGo()
	s.page.say("hello")
	s.page.settle()
	s.saw([]int{0, 1}, "user: /stream "+story, "assistant: A renewal takes eleven", "user: hello", answerOf(2, "hello"))
}
