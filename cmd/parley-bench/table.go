//go:build linux

package main

import (
	"fmt"
	"io"
	"text/tabwriter"
)

// print writes the results for a person.
func (r *results) print(w io.Writer) error {
	fmt.Fprintf(w, "%s, %d processors (%s), %s, Redis: %s\n%d rounds; × is the ratio to bare in the same round: median (least-most)\n",
		r.Date, r.Processors, r.Processor, r.Go, r.Redis, r.Plan.Rounds)
	for _, t := range r.Cells {
		fmt.Fprintf(w, "\n%s, %d connections\n", t.Route, t.Connections)
		table := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
		fmt.Fprint(table, "\tper s\t×\tp50 ms\tp99 ms\t×\tserver µs\t×\tRedis µs\t×\tcommands\tbytes to\tfrom Redis\tallocations\tKB\tRSS MB\t\n")
		for _, s := range t.Subjects {
			m := s.Median
			fmt.Fprintf(table, "%s\t%.0f\t%v\t%.2f\t%.2f\t%v\t%.0f\t%v\t%.0f\t%v\t%.1f\t%.0f\t%.0f\t%.0f\t%.1f\t%.0f\t\n",
				s.Name, m.PerSecond, s.Rate, m.P50, m.P99, s.P99, m.ServerCPU, s.ServerCPU, m.RedisCPU, s.RedisCPU,
				m.RedisCommands, m.RedisIn, m.RedisOut, m.Allocations, m.Allocated/1000, float64(m.Resident)/1e6)
		}
		if err := table.Flush(); err != nil {
			return err
		}
	}
	if m := r.Many; m != nil {
		fmt.Fprintf(w, "\n%s with %d idle streams over %d running turns: %.0f MB, %.0f MB without, %.1f KB for a stream\n", m.Subject, m.Streams, m.Turns,
			float64(m.ResidentWith)/1e6, float64(m.ResidentBefore)/1e6, float64(m.PerStream)/1e3)
		fmt.Fprintf(w, "others, who send on %d connections: %.0f per s, p99 %.2f ms; without the streams %.0f per s, p99 %.2f ms\n",
			usual, m.With.PerSecond, m.With.P99, m.Before.PerSecond, m.Before.P99)
	}
	fmt.Fprint(w, "\n")
	if r.Unjudged != "" {
		fmt.Fprintf(w, "Nothing is judged, and no figure of time is worth keeping: %s.\n", r.Unjudged)
		return nil
	}
	for _, v := range r.Verdict {
		word := "reached"
		if !v.Reached {
			word = "NOT reached"
		}
		fmt.Fprintf(w, "%s, %s, %s: %s, %v: %s\n", v.Route, v.Subject, v.What, v.Wanted, v.Got, word)
	}
	return nil
}

// String implements fmt.Stringer.
func (s spread) String() string { return fmt.Sprintf("%.2f (%.2f-%.2f)", s.Median, s.Least, s.Most) }
