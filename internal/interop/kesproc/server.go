//go:build unix

package kesproc

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// startTimeout is how long a server may take from its start to its first
// answer; a loaded machine with one core has needed seconds.
const startTimeout = time.Minute

// Server is one KES process. Its methods belong to one goroutine.
type Server struct {
	deployment *Deployment
	address    string
	log        string // file
	process    *exec.Cmd
	exited     chan struct{} // closed when the process has ended
}

// Start starts a server on a free loopback port and waits until it answers.
// The end of t is the end of the server.
func (d *Deployment) Start(t testing.TB) *Server {
	t.Helper()
	s := &Server{deployment: d}
	t.Cleanup(func() {
		s.Kill()
		if t.Failed() {
			t.Logf("log of the KES server at %s:\n%s", s.address, s.Log())
		}
	})
	// A port that was free a moment ago can be taken: then the server ends at
	// once, and another port is as good.
	var err error
	for range 3 {
		s.address, err = freeAddress()
		if err == nil {
			err = s.run()
		}
		if !errors.Is(err, errExited) {
			break
		}
	}
	if err != nil {
		t.Fatalf("failed to start a KES server: %v", err)
	}
	return s
}

// Endpoint returns the URL of the server.
func (s *Server) Endpoint() string { return "https://" + s.address }

// Address returns the server's host and port.
func (s *Server) Address() string { return s.address }

// Log returns what the server has written to its standard output and error.
func (s *Server) Log() string {
	text, _ := os.ReadFile(s.log)
	return string(text)
}

// Suspend makes the server hang: it keeps its port and its connections, the
// kernel accepts new ones, and nothing is answered until Resume.
func (s *Server) Suspend(t testing.TB) {
	t.Helper()
	s.signal(t, syscall.SIGSTOP)
	// On a busy machine its threads answer on for a while: the signal is on its
	// way until the last of them has stopped.
	var status syscall.WaitStatus
	_, err := syscall.Wait4(s.process.Process.Pid, &status, syscall.WUNTRACED, nil)
	for errors.Is(err, syscall.EINTR) {
		_, err = syscall.Wait4(s.process.Process.Pid, &status, syscall.WUNTRACED, nil)
	}
	if err != nil || !status.Stopped() {
		t.Fatalf("the KES server did not stop: status %#x, error %v", status, err)
	}
}

// Resume ends what Suspend began.
func (s *Server) Resume(t testing.TB) { s.signal(t, syscall.SIGCONT) }

func (s *Server) signal(t testing.TB, signal syscall.Signal) {
	t.Helper()
	if err := s.process.Process.Signal(signal); err != nil {
		t.Fatalf("failed to send %v to the KES server: %v", signal, err)
	}
}

// Stop asks the server to end and waits until it has.
func (s *Server) Stop(t testing.TB) {
	t.Helper()
	s.signal(t, syscall.SIGTERM)
	<-s.exited
}

// Kill ends the server without its consent, as a crash does. It may be called
// again, and on a server that never came up.
func (s *Server) Kill() {
	if s.exited == nil {
		return
	}
	// SIGKILL also ends a stopped process; one that has ended is no error here.
	_ = s.process.Process.Kill()
	<-s.exited
}

// Restart starts a server that was stopped or killed on the same port again.
func (s *Server) Restart(t testing.TB) {
	t.Helper()
	if err := s.run(); err != nil {
		t.Fatalf("failed to restart the KES server: %v", err)
	}
}

var errExited = errors.New("the server has ended")

// run starts the process on s.address and waits for its first answer.
func (s *Server) run() error {
	d := s.deployment
	config, err := os.CreateTemp(d.dir, "config-*.yml")
	if err != nil {
		return err
	}
	if _, err = io.WriteString(config, d.config(s.address)); err != nil {
		return err
	}
	if err = config.Close(); err != nil {
		return err
	}
	s.log = config.Name() + ".log"
	log, err := os.Create(s.log)
	if err != nil {
		return err
	}
	defer log.Close()

	s.process = exec.Command(d.binary, "server", "--config", filepath.Base(config.Name()))
	s.process.Dir = d.dir
	s.process.Env = append([]string{"HOME=" + d.dir}, d.options.Env...)
	if d.options.VerifyClients {
		// v0.23 does not heed tls.ca, and asks the system's roots.
		s.process.Env = append(s.process.Env, "SSL_CERT_FILE="+d.CAFile)
	}
	s.process.Stdout, s.process.Stderr = log, log
	s.process.SysProcAttr = endWithParent()
	if err := s.process.Start(); err != nil {
		return err
	}
	exited := make(chan struct{})
	s.exited = exited
	go func(process *exec.Cmd) {
		_ = process.Wait() // how it ended is in the log
		close(exited)
	}(s.process)
	return s.wait()
}

// wait returns when the server answers a request for its version.
func (s *Server) wait() error {
	config, err := s.deployment.TLS()
	if err != nil {
		return err
	}
	config.InsecureSkipVerify = true // a certificate that clients refuse may be what a test is about
	transport := &http.Transport{TLSClientConfig: config}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport, Timeout: startTimeout}
	for deadline := time.Now().Add(startTimeout); ; time.Sleep(20 * time.Millisecond) {
		resp, err := client.Get(s.Endpoint() + "/version")
		if err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return nil
			}
			err = fmt.Errorf("it answers %s", resp.Status)
		}
		select {
		case <-s.exited:
			return fmt.Errorf("%w: %s", errExited, s.Log())
		default:
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("no answer: %w", err)
		}
	}
}

func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}
