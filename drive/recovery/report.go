package recovery

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"sync"
)

// A Report is a file of lines, one a version, written when the version is finished. What
// is written stays written when the process dies; half of a line at the
// end is what a death in the middle leaves, and is dropped by ResumeReport.
//
// The order of the lines is that in which versions were finished.
type Report struct {
	w    io.Writer
	file *os.File // to close; may be nil

	mu   sync.Mutex
	err  error
	done []version // sorted
}

// version identifies a version, in less memory than its name.
type version [16]byte

func versionOf(bucket, object, id string) version {
	h := sha256.New()
	for _, s := range []string{bucket, object, id} {
		fmt.Fprintf(h, "%d:%s", len(s), s)
	}
	return version(h.Sum(nil)[:16])
}

// CreateReport makes a new report. It fails if the file exists.
func CreateReport(name string) (*Report, error) {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, err
	}
	return &Report{w: f, file: f}, nil
}

// NewReport is a report to w, which Close does not close unless CreateReport or ResumeReport opened it.
func NewReport(w io.Writer) *Report { return &Report{w: w} }

// A ReportError tells which line of a report to resume is not one.
type ReportError struct {
	Name string
	Line int
	Err  error
}

func (e *ReportError) Error() string {
	return fmt.Sprintf("%s is not a report: line %d: %v", e.Name, e.Line, e.Err)
}

func (e *ReportError) Unwrap() error { return e.Err }

// maxLine bounds a line: one with a hundred findings has some 50 KiB.
const maxLine = 16 << 20

var errLongLine = errors.New("it is too long")

// ResumeReport goes on with the report at name, which may not exist yet. Of its lines those with status ok
// for which holds is true stay, and are Done; the others will be written anew, and are taken out. If a line
// is none, nothing is changed.
func ResumeReport(name string, holds func(*Line) bool) (_ *Report, err error) {
	old, err := os.Open(name)
	if errors.Is(err, os.ErrNotExist) {
		return CreateReport(name)
	} else if err != nil {
		return nil, err
	}
	defer old.Close()
	// A resumption that was killed right here left one behind.
	temp := filepath.Join(filepath.Dir(name), ".objseal-"+filepath.Base(name))
	if err := os.Remove(temp); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	f, err := os.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			f.Close()
			os.Remove(f.Name())
		}
	}()
	r := &Report{w: f, file: f}
	out := bufio.NewWriterSize(f, 1<<20)
	if err := r.keep(old, out, name, holds); err != nil {
		return nil, err
	}
	if err := out.Flush(); err != nil {
		return nil, err
	}
	if err := f.Sync(); err != nil {
		return nil, err
	}
	return r, os.Rename(f.Name(), name)
}

// keep copies the lines of an earlier run that stay.
func (r *Report) keep(old io.Reader, out io.Writer, name string, holds func(*Line) bool) error {
	in := bufio.NewReaderSize(old, 64<<10)
	for n := 1; ; n++ {
		text, err := readLine(in)
		if err == io.EOF {
			break
		}
		var l *Line
		if err == nil {
			l, err = decodeLine(text)
		}
		if err == nil && l.Status == "" {
			err = errors.New("it has no status")
		}
		if err != nil {
			return &ReportError{name, n, err}
		}
		if l.Status != OK || !holds(l) {
			continue
		}
		id := l.VersionID
		if l.Unsettled && l.ModTime != nil {
			id = unsettledID(id, *l.ModTime)
		}
		r.done = append(r.done, versionOf(l.Bucket, l.Object, id))
		if _, err := out.Write(append(text, '\n')); err != nil {
			return err
		}
	}
	slices.SortFunc(r.done, compare)
	return nil
}

// readLine returns a whole line without its end. What follows the last end of line
// is not one: io.EOF.
func readLine(in *bufio.Reader) ([]byte, error) {
	var line []byte
	for {
		part, err := in.ReadSlice('\n')
		line = append(line, part...)
		switch {
		case err == nil:
			return bytes.TrimSuffix(line, []byte{'\n'}), nil
		case err != bufio.ErrBufferFull:
			return nil, err
		case len(line) > maxLine:
			return nil, errLongLine
		}
	}
}

func compare(a, b version) int { return bytes.Compare(a[:], b[:]) }

// Done reports whether the version was recovered by an earlier run.
func (r *Report) Done(bucket, object, id string) bool {
	if r == nil || len(r.done) == 0 {
		return false
	}
	_, ok := slices.BinarySearchFunc(r.done, versionOf(bucket, object, id), compare)
	return ok
}

// Earlier is the number of versions that are Done.
func (r *Report) Earlier() int {
	if r == nil {
		return 0
	}
	return len(r.done)
}

// Write adds a line. A nil Report takes it and does nothing.
func (r *Report) Write(l *Line) error {
	if r == nil {
		return nil
	}
	text, err := l.encode()
	if err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.err == nil {
		_, r.err = r.w.Write(text)
	}
	return r.err
}

// Close makes the report durable.
func (r *Report) Close() error {
	if r == nil || r.file == nil {
		return nil
	}
	return errors.Join(r.file.Sync(), r.file.Close())
}
