//go:build linux

package main

import (
	"fmt"
	"slices"
)

// results are what a run found, as they are in the file.
type results struct {
	Date       string   `json:"date"`
	Processors int      `json:"processors"`
	Processor  string   `json:"processor"`
	Go         string   `json:"go"`
	Redis      string   `json:"redis"`
	Plan       plan     `json:"plan"`
	Quiet      quiet    `json:"quiet"`
	Cells      []*tally `json:"cells"`
	Many       *many    `json:"many"`
	// Unjudged says why there is no verdict; empty if there is.
	Unjudged string    `json:"unjudged"`
	Verdict  []verdict `json:"verdict"`
}

// tally is what all subjects did in a cell.
type tally struct {
	cell
	Subjects []*score `json:"subjects"` // the first is the bare service
}

// score is what a subject did in a cell: a sample of each round, and what they come to.
type score struct {
	Name    string   `json:"name"`
	Samples []sample `json:"samples"`
	Median  sample   `json:"median"` // of each value by itself
	// To the bare service in the same round.
	Rate      spread `json:"rateRatio"`
	P99       spread `json:"p99Ratio"`
	ServerCPU spread `json:"serverCPURatio"`
	RedisCPU  spread `json:"redisCPURatio"`
}

// spread is the median of the rounds, with the least and the most.
type spread struct {
	Median float64 `json:"median"`
	Least  float64 `json:"least"`
	Most   float64 `json:"most"`
}

func spreadOf(values []float64) spread {
	if len(values) == 0 {
		return spread{}
	}
	sorted := slices.Sorted(slices.Values(values))
	middle := len(sorted) / 2
	median := sorted[middle]
	if len(sorted)%2 == 0 {
		median = (sorted[middle-1] + median) / 2
	}
	return spread{median, sorted[0], sorted[len(sorted)-1]}
}

// sum up the rounds.
func (t *tally) sum() {
	base := t.Subjects[0].Samples
	for _, s := range t.Subjects {
		values := func(of func(sample) float64) (all []float64) {
			for _, one := range s.Samples {
				all = append(all, of(one))
			}
			return all
		}
		median := func(of func(sample) float64) float64 { return spreadOf(values(of)).Median }
		ratio := func(of func(sample) float64) spread {
			all := values(of)
			for i := range all {
				if b := of(base[i]); b > 0 {
					all[i] /= b
				}
			}
			return spreadOf(all)
		}
		s.Median = sample{
			Requests: int(median(func(a sample) float64 { return float64(a.Requests) })), PerSecond: median(perSecond), P50: median(func(a sample) float64 { return a.P50 }),
			P99: median(p99), ServerCPU: median(serverCPU), RedisCPU: median(redisCPU),
			RedisCommands: median(func(a sample) float64 { return a.RedisCommands }), RedisIn: median(func(a sample) float64 { return a.RedisIn }),
			RedisOut: median(func(a sample) float64 { return a.RedisOut }), Allocations: median(func(a sample) float64 { return a.Allocations }),
			Allocated: median(func(a sample) float64 { return a.Allocated }), Resident: int64(median(func(a sample) float64 { return float64(a.Resident) })),
		}
		s.Rate, s.P99, s.ServerCPU, s.RedisCPU = ratio(perSecond), ratio(p99), ratio(serverCPU), ratio(redisCPU)
	}
}

func perSecond(s sample) float64 { return s.PerSecond }
func p99(s sample) float64       { return s.P99 }
func serverCPU(s sample) float64 { return s.ServerCPU }
func redisCPU(s sample) float64  { return s.RedisCPU }

// target is what a subject must reach in the cells that are judged, as a ratio to the
// bare service.
type target struct {
	subject, what string
	of            func(*score) spread
	least, most   float64 // one of them; 0 for none
}

func targets() []target {
	rate := func(s *score) spread { return s.Rate }
	late := func(s *score) spread { return s.P99 }
	server := func(s *score) spread { return s.ServerCPU }
	redis := func(s *score) spread { return s.RedisCPU }
	return []target{
		{subject: "off", what: "rate", of: rate, least: 0.9},
		{subject: "off", what: "p99", of: late, most: 1.3},
		{subject: "off", what: "server CPU", of: server, most: 1.2},
		{subject: "off", what: "Redis CPU", of: redis, most: 1.5},
		{subject: "exporting", what: "rate", of: rate, least: 0.8},
		{subject: "exporting", what: "p99", of: late, most: 1.3},
		{subject: "exporting", what: "server CPU", of: server, most: 1.5},
		{subject: "exporting", what: "Redis CPU", of: redis, most: 1.5},
	}
}

// verdict is whether a target was reached.
type verdict struct {
	Route   string `json:"route"`
	Subject string `json:"subject"`
	What    string `json:"what"`
	Wanted  string `json:"wanted"`
	Got     spread `json:"got"`
	Reached bool   `json:"reached"`
}

// judge compares what was found with the targets, by the medians, if anything can be
// judged by it.
func (r *results) judge() {
	if r.Unjudged = r.Quiet.busy(); r.Unjudged != "" {
		return
	}
	if r.Plan.Rounds < judgedRounds {
		r.Unjudged = fmt.Sprintf("%d rounds are too few", r.Plan.Rounds)
		return
	}
	for _, t := range r.Cells {
		if !t.Judged {
			continue
		}
		for _, want := range targets() {
			i := slices.IndexFunc(t.Subjects, func(s *score) bool { return s.Name == want.subject })
			if i < 0 {
				continue
			}
			v := verdict{Route: t.Route, Subject: want.subject, What: want.what, Got: want.of(t.Subjects[i])}
			if want.least > 0 {
				v.Wanted, v.Reached = fmt.Sprintf("at least %.2f", want.least), v.Got.Median >= want.least
			} else {
				v.Wanted, v.Reached = fmt.Sprintf("at most %.2f", want.most), v.Got.Median <= want.most
			}
			r.Verdict = append(r.Verdict, v)
		}
	}
}
