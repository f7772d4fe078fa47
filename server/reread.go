package server

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
)

var (
	errNoFile    = errors.New("server: no such file")
	errDirectory = errors.New("server: is a directory")
	errChanged   = errors.New("server: the file was changed while it was read")
)

// reread is a file that is open only while it is read from: a client that takes its
// time to read an answer would otherwise hold a descriptor for as long. It is an
// io.ReadSeeker of one goroutine.
type reread struct {
	fs   fs.FS
	name string
	info fs.FileInfo // when it was first opened
	at   int64
}

// openReread finds a file. Its error is errNoFile or errDirectory, or says that
// nobody can tell.
func openReread(files fs.FS, name string) (*reread, error) {
	info, err := fs.Stat(files, name)
	switch {
	case lacksDescriptors(err):
		return nil, fmt.Errorf("server: open a file: %w", err)
	case err != nil:
		return nil, errNoFile // whatever keeps it from being read, it is not to be had
	case info.IsDir():
		return nil, errDirectory
	}
	return &reread{fs: files, name: name, info: info}, nil
}

// Read implements io.Reader. Half of one version of a file and half of the next
// would be neither, so it fails when the file has changed.
func (f *reread) Read(b []byte) (int, error) {
	if f.at >= f.info.Size() {
		return 0, io.EOF
	}
	file, err := f.fs.Open(f.name)
	if err != nil {
		return 0, fmt.Errorf("server: open a file: %w", err)
	}
	defer func() { _ = file.Close() }()
	info, err := file.Stat()
	switch {
	case err != nil:
		return 0, fmt.Errorf("server: read a file: %w", err)
	case info.Size() != f.info.Size() || !info.ModTime().Equal(f.info.ModTime()):
		return 0, errChanged
	}
	at, ok := file.(io.ReaderAt)
	if !ok {
		return 0, fmt.Errorf("server: read a file: %w", errors.ErrUnsupported)
	}
	n, err := at.ReadAt(b[:min(int64(len(b)), f.info.Size()-f.at)], f.at)
	f.at += int64(n)
	if n > 0 {
		return n, nil
	}
	return 0, err
}

// Seek implements io.Seeker.
func (f *reread) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekCurrent:
		offset += f.at
	case io.SeekEnd:
		offset += f.info.Size()
	}
	if offset < 0 {
		return 0, fmt.Errorf("server: seek: %w", fs.ErrInvalid)
	}
	f.at = offset
	return offset, nil
}
