package main

import (
	"io"
	"os"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"
)

// isTerminal reports whether w is a terminal somebody looks at.
func isTerminal(w any) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// progress wraps w to show how far it has come, on a terminal only; size is how
// much will be written, -1 if that is unknown. done takes the bar away again.
func progress(stderr, w io.Writer, what string, size int64) (_ io.Writer, done func()) {
	if !isTerminal(stderr) {
		return w, func() {}
	}
	bar := progressbar.NewOptions64(size,
		progressbar.OptionSetWriter(stderr),
		progressbar.OptionSetDescription(what),
		progressbar.OptionShowBytes(true),
		progressbar.OptionUseIECUnits(true),
		progressbar.OptionThrottle(100*time.Millisecond),
		progressbar.OptionClearOnFinish(),
		progressbar.OptionSetWidth(30))
	return &meter{w, bar}, func() { bar.Finish() }
}

// meter is a writer whose bar counts what was written, in steps of up to half a
// megabyte and from one goroutine at a time. What the bar does not like (more
// than it was told of) is no reason to fail.
type meter struct {
	w   io.Writer
	bar *progressbar.ProgressBar
}

func (m *meter) Write(p []byte) (int, error) {
	n, err := m.w.Write(p)
	m.bar.Add(n)
	return n, err
}

// progressOfTime shows how much of total is over, on a terminal only. done takes
// the bar away again.
func progressOfTime(stderr io.Writer, what string, total time.Duration) (elapsed func(time.Duration), done func()) {
	if !isTerminal(stderr) {
		return func(time.Duration) {}, func() {}
	}
	bar := progressbar.NewOptions64(int64(total),
		progressbar.OptionSetWriter(stderr),
		progressbar.OptionSetDescription(what),
		progressbar.OptionSetPredictTime(false),
		progressbar.OptionThrottle(100*time.Millisecond),
		progressbar.OptionClearOnFinish(),
		progressbar.OptionSetWidth(30))
	return func(t time.Duration) { bar.Set64(int64(min(t, total-1))) }, func() { bar.Finish() }
}
