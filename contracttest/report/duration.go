package report

import (
	"fmt"
	"strconv"
	"time"
)

// Duration is a time.Duration that is written in JSON as a number of milliseconds
// with at most one decimal.
type Duration time.Duration

// MarshalJSON writes milliseconds.
func (d Duration) MarshalJSON() ([]byte, error) {
	ms := float64(time.Duration(d).Round(100*time.Microsecond)) / float64(time.Millisecond)
	return strconv.AppendFloat(nil, ms, 'f', -1, 64), nil
}

// String reads well: "340 ms", "2.4 s", "3 min 20 s".
func (d Duration) String() string {
	t := time.Duration(d)
	switch {
	case t < time.Second:
		return fmt.Sprintf("%d ms", t.Milliseconds())
	case t < time.Minute:
		return fmt.Sprintf("%.1f s", t.Seconds())
	}
	t = t.Round(time.Second)
	return fmt.Sprintf("%d min %d s", t/time.Minute, t%time.Minute/time.Second)
}

// String reads well: "answer 340 ms".
func (m Measure) String() string {
	text := m.Name + " " + strconv.FormatFloat(m.Value, 'f', -1, 64)
	if m.Unit != "" {
		text += " " + m.Unit
	}
	return text
}
