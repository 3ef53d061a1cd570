package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"unsafe"
)

// newTerminal returns a pseudo-terminal, and a function that closes it and
// returns what was written to it.
func newTerminal(t *testing.T) (terminal *os.File, shown func() string) {
	t.Helper()
	control, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Skipf("no pseudo-terminals: %v", err)
	}
	var unlock, number int32
	for request, arg := range map[uintptr]*int32{syscall.TIOCSPTLCK: &unlock, syscall.TIOCGPTN: &number} {
		if _, _, errno := syscall.Syscall(syscall.SYS_IOCTL, control.Fd(), request, uintptr(unsafe.Pointer(arg))); errno != 0 {
			t.Skipf("no pseudo-terminals: %v", errno)
		}
	}
	terminal, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Skipf("no pseudo-terminals: %v", err)
	}
	text := make(chan string)
	go func() {
		var b bytes.Buffer
		io.Copy(&b, control) // ends with an error when the terminal is closed
		control.Close()
		text <- b.String()
	}()
	return terminal, func() string {
		terminal.Close()
		return <-text
	}
}

// TestTerminal seals and opens where somebody looks: there is a bar, and it is
// in nothing's way.
func TestTerminal(t *testing.T) {
	t.Setenv("MINIO_KMS_SECRET_KEY", "k:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=")
	for _, size := range []int{0, 1, 65536, 200000} {
		t.Run(fmt.Sprintf("size=%d", size), func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "file")
			data := bytes.Repeat([]byte{7}, size)
			if err := os.WriteFile(file, data, 0o600); err != nil {
				t.Fatal(err)
			}
			for _, step := range []struct {
				args []string
				bar  string
			}{
				{[]string{"encrypt", file}, "sealing"},
				{[]string{"decrypt", "-o", file + ".opened", file + ".sealed"}, "opening"},
			} {
				terminal, shown := newTerminal(t)
				code := run(step.args, nil, io.Discard, terminal)
				text := shown()
				if code != 0 {
					t.Fatalf("%s: exit code %d, %q", step.args[0], code, text)
				}
				if size > 65536 && !strings.Contains(text, step.bar) {
					t.Errorf("%s shows %q", step.args[0], text)
				}
			}
			if got, err := os.ReadFile(file + ".opened"); err != nil || !bytes.Equal(got, data) {
				t.Errorf("opened to %d bytes, %v", len(got), err)
			}
		})
	}
}
