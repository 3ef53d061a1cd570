//go:build unix

package drive

import (
	"testing"

	"golang.org/x/sys/unix"
)

func makePipe(t testing.TB, path string) {
	t.Helper()
	must(t, unix.Mkfifo(path, 0o644))
}
