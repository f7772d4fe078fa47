package server

import (
	"context"
	"io/fs"
	"net/http/httptest"
	"testing/fstest"

	"parley/server/auth"
)

// nobody lets nobody in.
type nobody struct{}

func (nobody) Verify(context.Context, string) (auth.Principal, error) {
	return auth.Principal{}, auth.ErrUnauthenticated
}

// countedFS counts its open files.
type countedFS struct {
	fstest.MapFS
	open int
}

func (c *countedFS) Open(name string) (fs.File, error) {
	f, err := c.MapFS.Open(name)
	if err != nil {
		return nil, err
	}
	c.open++
	return &countedFile{f.(readerAt), c}, nil
}

type readerAt interface {
	fs.File
	ReadAt(b []byte, off int64) (int, error)
}

type countedFile struct {
	readerAt
	of *countedFS
}

func (f *countedFile) Close() error {
	f.of.open--
	return f.readerAt.Close()
}

// openWatch notes how many files are open while an answer is written.
type openWatch struct {
	*httptest.ResponseRecorder
	files        *countedFS
	most, writes int
}

func (o *openWatch) Write(b []byte) (int, error) {
	o.writes++
	o.most = max(o.most, o.files.open)
	return o.ResponseRecorder.Write(b)
}
