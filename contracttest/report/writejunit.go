package report

import (
	"encoding/xml"
	"fmt"
	"io"
	"strings"
	"time"
)

// The elements of JUnit XML, in the order in which the readers' schemas want them.
type (
	junitSuites struct {
		XMLName  xml.Name     `xml:"testsuites"`
		Name     string       `xml:"name,attr"`
		Tests    int          `xml:"tests,attr"`
		Failures int          `xml:"failures,attr"`
		Errors   int          `xml:"errors,attr"`
		Time     string       `xml:"time,attr"`
		Suites   []junitSuite `xml:"testsuite"`
	}
	junitSuite struct {
		Name       string          `xml:"name,attr"`
		Tests      int             `xml:"tests,attr"`
		Failures   int             `xml:"failures,attr"`
		Errors     int             `xml:"errors,attr"`
		Skipped    int             `xml:"skipped,attr"`
		Time       string          `xml:"time,attr"`
		Timestamp  string          `xml:"timestamp,attr"`
		Properties []junitProperty `xml:"properties>property"`
		Cases      []junitCase     `xml:"testcase"`

		took Duration // of all cases
	}
	junitProperty struct {
		Name  string `xml:"name,attr"`
		Value string `xml:"value,attr"`
	}
	junitCase struct {
		Name      string        `xml:"name,attr"`
		ClassName string        `xml:"classname,attr"`
		Time      string        `xml:"time,attr"`
		Skipped   *junitMessage `xml:"skipped"`
		Error     *junitMessage `xml:"error"`
		Failure   *junitMessage `xml:"failure"`
	}
	junitMessage struct {
		Message string `xml:"message,attr"`
		Type    string `xml:"type,attr,omitempty"`
		Text    string `xml:",chardata"`
	}
)

// WriteJUnit writes the report as JUnit XML, which most CI systems show. A chapter is
// a test suite and a rule is a test case. What JUnit has no word for: a known failure
// is skipped, one that passed is a failure, what could not be run is an error, and a
// problem of the run is a failure in a suite of its own.
func (r *Report) WriteJUnit(w io.Writer) error {
	all := junitSuites{Name: r.Title, Time: seconds(r.Took)}
	for _, name := range r.Chapters() {
		s := r.junitSuite(name)
		for _, x := range r.Results {
			if x.Chapter == name {
				s.add(x)
			}
		}
		all.Suites = append(all.Suites, s)
	}
	if len(r.Problems) > 0 {
		s := r.junitSuite("the run")
		for i, p := range r.Problems {
			s.add(Result{Rule: Rule{ID: fmt.Sprintf("problem %d", i+1), Chapter: "the run"}, Finding: Finding{Outcome: Failed, Came: p}})
		}
		all.Suites = append(all.Suites, s)
	}
	for _, s := range all.Suites {
		all.Tests, all.Failures, all.Errors = all.Tests+s.Tests, all.Failures+s.Failures, all.Errors+s.Errors
	}
	if _, err := io.WriteString(w, xml.Header); err != nil {
		return err
	}
	enc := xml.NewEncoder(w)
	enc.Indent("", "  ")
	if err := enc.Encode(all); err != nil {
		return err
	}
	_, err := io.WriteString(w, "\n")
	return err
}

func (r *Report) junitSuite(name string) junitSuite {
	return junitSuite{
		Name: name, Timestamp: r.Began.UTC().Format("2006-01-02T15:04:05"), Time: seconds(0),
		Properties: []junitProperty{
			{"target", r.Target},
			{"version", r.Version},
			{"profile", r.Profile},
			{"store", r.Store},
			{"seed", fmt.Sprint(r.Seed)},
			{"rounds", fmt.Sprint(r.Rounds)},
		},
	}
}

func (s *junitSuite) add(x Result) {
	c := junitCase{Name: x.ID, ClassName: x.Chapter, Time: seconds(x.Took)}
	switch x.Outcome {
	case Failed, UnexpectedPass:
		s.Failures++
		c.Failure = x.junitMessage()
	case NotRun:
		s.Errors++
		c.Error = x.junitMessage()
	case Skipped:
		s.Skipped++
		c.Skipped = &junitMessage{Message: x.Reason}
	case KnownFailure:
		s.Skipped++
		c.Skipped = &junitMessage{Message: "known failure: " + x.Reason}
	default:
	}
	s.Tests++
	s.took += x.Took
	s.Time = seconds(s.took)
	s.Cases = append(s.Cases, c)
}

// junitMessage explains a failure. The message is what a CI system shows first.
func (x Result) junitMessage() *junitMessage {
	m := &junitMessage{Message: firstLine(x.Came), Type: string(x.Outcome)}
	if m.Message == "" {
		m.Message = firstLine(x.Reason)
	}
	var b strings.Builder
	for _, l := range x.lines() {
		fmt.Fprintf(&b, "\n%-9s %s", l.Name, indent(l.Text))
	}
	m.Text = b.String() + "\n"
	return m
}

func firstLine(text string) string {
	first, _, _ := strings.Cut(text, "\n")
	return first
}

// seconds is a time as JUnit writes it.
func seconds(d Duration) string { return fmt.Sprintf("%.3f", time.Duration(d).Seconds()) }
