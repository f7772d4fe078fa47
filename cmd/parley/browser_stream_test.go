package main

import "testing"

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
