package report

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// WriteFiles writes the report into a directory, which it makes: as text with all
// details, as a page, and as JSON, in files of one name with the endings txt, html
// and json.
func (r *Report) WriteFiles(dir, name string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	var errs []error
	for ending, write := range map[string]func(io.Writer) error{
		"txt": func(w io.Writer) error { return r.WriteText(w, true) }, "html": r.WriteHTML, "json": r.WriteJSON,
	} {
		errs = append(errs, WriteFile(filepath.Join(dir, name+"."+ending), write))
	}
	return errors.Join(errs...)
}

// WriteFile writes one form of a report to a file. A file that was there stays as it
// was if nothing can be written.
func WriteFile(file string, write func(io.Writer) error) error {
	var b bytes.Buffer
	if err := write(&b); err != nil {
		return fmt.Errorf("write %s: %w", file, err)
	}
	return os.WriteFile(file, b.Bytes(), 0o644)
}
