//go:build unix

// Package process runs servers as child processes of a test: the real servers
// that objseal is compatible with, and its own command.
//
// [Build] compiles one, [Tool] finds one that a nested module names as a Go
// tool, and [Start] starts it. A process writes to a log file, ends with its
// test at the latest, also when the test process is killed, and can be
// suspended as a server that hangs.
package process

import (
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// StartTimeout is how long a server may take from its start to its first
// answer; a loaded machine with one core has needed seconds.
const StartTimeout = 2 * time.Minute

// ErrExited is returned by [Process.Wait] for a process that ended instead of
// answering.
var ErrExited = errors.New("the server has ended")

// Build compiles the command pkg as seen from the module in directory dir and
// returns the path of the executable, which lives as long as the test.
func Build(t testing.TB, dir, pkg string) string {
	t.Helper()
	out := filepath.Join(t.TempDir(), filepath.Base(pkg))
	build := exec.CommandContext(t.Context(), "go", "build", "-o", out, pkg)
	build.Dir = dir
	if text, err := build.CombinedOutput(); err != nil {
		t.Fatalf("failed to build %s: %v\n%s", pkg, err, text)
	}
	return out
}

// Tool returns the path of the executable of a Go tool of the module in
// directory dir. It lives in Go's build cache: what takes minutes to build and
// seconds to link is made once.
func Tool(t testing.TB, dir, pkg string) string {
	t.Helper()
	find := exec.CommandContext(t.Context(), "go", "tool", "-n", pkg)
	find.Dir = dir
	var stderr strings.Builder
	find.Stderr = &stderr
	path, err := find.Output()
	if err != nil {
		t.Fatalf("failed to build %s: %v\n%s", pkg, err, stderr.String())
	}
	return strings.TrimSpace(string(path))
}

// Process is a child process. Its methods belong to one goroutine.
type Process struct {
	cmd    *exec.Cmd
	log    string        // file
	exited chan struct{} // closed when the process has ended
}

// Command is what [Start] runs.
type Command struct {
	Path string
	Args []string
	Dir  string
	Env  []string // the whole environment
	Log  string   // file for standard output and error, replaced
}

// Start starts a process.
func Start(c Command) (*Process, error) {
	log, err := os.Create(c.Log)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	p := &Process{cmd: exec.Command(c.Path, c.Args...), log: c.Log, exited: make(chan struct{})}
	p.cmd.Dir, p.cmd.Env = c.Dir, c.Env
	p.cmd.Stdout, p.cmd.Stderr = log, log
	p.cmd.SysProcAttr = endWithParent()
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		_ = p.cmd.Wait() // how it ended is in the log
		close(p.exited)
	}()
	return p, nil
}

// Wait calls ready again and again until it returns nil.
func (p *Process) Wait(ready func() error) error {
	for deadline := time.Now().Add(StartTimeout); ; time.Sleep(20 * time.Millisecond) {
		err := ready()
		if err == nil {
			return nil
		}
		if p.Exited() {
			return ErrExited
		}
		if time.Now().After(deadline) {
			return err
		}
	}
}

// Exited tells whether the process has ended.
func (p *Process) Exited() bool {
	select {
	case <-p.exited:
		return true
	default:
		return false
	}
}

// ExitCode waits for the end and returns the exit code; -1 after a signal.
func (p *Process) ExitCode() int {
	<-p.exited
	return p.cmd.ProcessState.ExitCode()
}

// Signal sends a signal.
func (p *Process) Signal(t testing.TB, signal syscall.Signal) {
	t.Helper()
	if err := p.cmd.Process.Signal(signal); err != nil {
		t.Fatalf("failed to send %v to %s: %v", signal, filepath.Base(p.cmd.Path), err)
	}
}

// Suspend makes the process hang: it keeps its ports and its connections, the
// kernel accepts new ones, and nothing is answered until Resume.
func (p *Process) Suspend(t testing.TB) {
	t.Helper()
	p.Signal(t, syscall.SIGSTOP)
	// On a busy machine its threads answer on for a while: the signal is on its
	// way until the last of them has stopped.
	var status syscall.WaitStatus
	_, err := syscall.Wait4(p.cmd.Process.Pid, &status, syscall.WUNTRACED, nil)
	for errors.Is(err, syscall.EINTR) {
		_, err = syscall.Wait4(p.cmd.Process.Pid, &status, syscall.WUNTRACED, nil)
	}
	if err != nil || !status.Stopped() {
		t.Fatalf("%s did not stop: status %#x, error %v", filepath.Base(p.cmd.Path), status, err)
	}
}

// Resume ends what Suspend began.
func (p *Process) Resume(t testing.TB) {
	t.Helper()
	p.Signal(t, syscall.SIGCONT)
}

// Stop asks the process to end and waits until it has. It may have ended.
func (p *Process) Stop() {
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	<-p.exited
}

// Kill ends the process without its consent, as a crash does; a suspended one
// too. It may have ended.
func (p *Process) Kill() {
	_ = p.cmd.Process.Kill()
	<-p.exited
}

// Log returns what the process has written.
func (p *Process) Log() string {
	text, _ := os.ReadFile(p.log)
	return string(text)
}

// FreeAddress returns a loopback address with a port that nobody has just now.
func FreeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}
