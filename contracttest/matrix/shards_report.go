package matrix

import (
	"slices"
	"strings"
	"time"

	"parley/contracttest/report"
)

// ShardsReport is the chapter "shards" with what came of it.
type ShardsReport struct {
	Made time.Time
	Rows []ShardEntry
}

// ShardRowsOn are the rows of a deployment: all, or those of every test run.
func ShardRowsOn(kind Deployment, all bool) []ShardRow {
	return slices.DeleteFunc(ShardRows(), func(r ShardRow) bool {
		return r.On != kind || !all && !slices.Contains(sampledShards(), r.ID)
	})
}

// WriteFiles writes the chapter as shards.txt, shards.html and shards.json into a
// directory.
func (r *ShardsReport) WriteFiles(dir string) error { return r.report().WriteFiles(dir, "shards") }

func (r *ShardsReport) report() *report.Report {
	var results []report.Result
	for _, e := range r.Rows {
		results = append(results, report.Result{Rule: e.Rule(), Finding: e.Finding()})
	}
	return report.Of(report.Head{Title: "Shards: what the others get while one is unwell", Tool: "make contract", Began: r.Made}, report.Redactor{}, results)
}

// Rule is what the row tries, in the column of its deployment.
func (e ShardEntry) Rule() report.Rule {
	return report.Rule{
		ID: report.CellID(e.ID, string(e.On)), Chapter: "shards", Row: e.ID, Column: string(e.On), Fault: e.Fault,
		Sentence: "The other shards are served, the hurt one is back soon, and nothing acknowledged is lost or doubled.",
	}
}

// Finding is what came of the row. The answer is what the hurt shard's callers got.
func (e ShardEntry) Finding() report.Finding {
	count := func(name string, n int) report.Measure { return report.Measure{Name: name, Value: float64(n)} }
	f := report.Finding{Outcome: report.Passed, Answer: Answered(e.Hurt), Came: strings.Join(e.Broken, "\n")}
	if e.Calls > 0 { // the row was under load
		f.Measures = []report.Measure{
			report.Milliseconds("the others' p99 before", e.Calm), report.Milliseconds("during", e.Under), report.Milliseconds("the machine was late by", e.Machine),
			report.Milliseconds("the hurt shard's p99 once open", e.Open), report.Milliseconds("first good answer after", e.Back), report.Milliseconds("last bad after", e.Settled),
			count("calls", e.Calls), count("turns acknowledged", e.Acked), count("lost", e.Lost), count("of the last moment", e.Late), count("doubled", e.Doubled), count("most runs of a call", e.Ran), count("not judged because the machine stood still", e.Stalled),
		}
	}
	if len(e.Broken) > 0 {
		f.Outcome, f.Expected = report.Failed, e.Rule().Sentence
	}
	return f
}
