package matrix

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// ShardsReport is the chapter "shards" with what came of it.
type ShardsReport struct {
	Made time.Time    `json:"made"`
	Rows []ShardEntry `json:"rows"`
}

// ShardRowsOn are the rows of a deployment: all, or those of every test run.
func ShardRowsOn(kind Deployment, all bool) []ShardRow {
	return slices.DeleteFunc(ShardRows(), func(r ShardRow) bool {
		return r.On != kind || !all && !slices.Contains(sample(), r.ID)
	})
}

// WriteText prints some lines for each row, and one for each broken promise.
func (r *ShardsReport) WriteText(out io.Writer) error {
	var w bytes.Buffer
	fmt.Fprintf(&w, "\nShards: what the others get while one is unwell\n")
	broken := 0
	for _, e := range r.Rows {
		mark := "ok  "
		if len(e.Broken) > 0 {
			mark = "FAIL"
			broken++
		}
		fmt.Fprintf(&w, "\n%s %s, on %s: %s\n", mark, e.ID, e.On, e.Fault)
		fmt.Fprintf(&w, "     the other shards: %s, p99 %s → %s (the machine %s)\n", Answered(e.Others), tenths(e.Calm), tenths(e.Under), tenths(e.Machine))
		fmt.Fprintf(&w, "     the hurt shard: %s, p99 once open %s, first good answer after %s, last bad after %s\n", Answered(e.Hurt), tenths(e.Open), tenths(e.Back), tenths(e.Settled))
		fmt.Fprintf(&w, "     %d calls; turns acknowledged %d, lost %d (%d of the last moment), doubled %d; a call ran %d times at most\n", e.Calls, e.Acked, e.Lost, e.Late, e.Doubled, e.Ran)
		for _, b := range e.Broken {
			fmt.Fprintf(&w, "     broken: %s\n", b)
		}
	}
	fmt.Fprintf(&w, "\n%d rows, %d with a broken promise\n", len(r.Rows), broken)
	_, err := w.WriteTo(out)
	return err
}

// WriteFiles writes shards.txt and shards.json into a directory.
func (r *ShardsReport) WriteFiles(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	var text bytes.Buffer
	program, err := json.MarshalIndent(r, "", "  ")
	return errors.Join(
		err, r.WriteText(&text),
		os.WriteFile(filepath.Join(dir, "shards.txt"), text.Bytes(), 0o644),
		os.WriteFile(filepath.Join(dir, "shards.json"), program, 0o644),
	)
}
