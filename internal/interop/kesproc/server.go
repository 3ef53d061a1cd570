//go:build unix

package kesproc

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"github.com/objseal/objseal/internal/interop/process"
)

// Server is one KES process. Its methods belong to one goroutine.
type Server struct {
	deployment *Deployment
	address    string
	process    *process.Process
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
		s.address, err = process.FreeAddress()
		if err == nil {
			err = s.run()
		}
		if !errors.Is(err, process.ErrExited) {
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

// Log returns what the server has written to its standard output and error
// since it was started last.
func (s *Server) Log() string {
	if s.process == nil {
		return ""
	}
	return s.process.Log()
}

// Suspend makes the server hang: it keeps its port and its connections, the
// kernel accepts new ones, and nothing is answered until Resume.
func (s *Server) Suspend(t testing.TB) { s.process.Suspend(t) }

// Resume ends what Suspend began.
func (s *Server) Resume(t testing.TB) { s.process.Resume(t) }

// Stop asks the server to end and waits until it has.
func (s *Server) Stop(testing.TB) { s.process.Stop() }

// Kill ends the server without its consent, as a crash does. It may be called
// again, and on a server that never came up.
func (s *Server) Kill() {
	if s.process != nil {
		s.process.Kill()
	}
}

// Restart starts a server that was stopped or killed on the same port again.
func (s *Server) Restart(t testing.TB) {
	t.Helper()
	if err := s.run(); err != nil {
		t.Fatalf("failed to restart the KES server: %v", err)
	}
}

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
	env := append([]string{"HOME=" + d.dir}, d.options.Env...)
	if d.options.VerifyClients {
		// v0.23 does not heed tls.ca, and asks the system's roots.
		env = append(env, "SSL_CERT_FILE="+d.CAFile)
	}
	s.process, err = process.Start(process.Command{
		Path: d.binary,
		Args: []string{"server", "--config", filepath.Base(config.Name())},
		Dir:  d.dir,
		Env:  env,
		Log:  config.Name() + ".log",
	})
	if err != nil {
		return err
	}
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
	client := &http.Client{Transport: transport, Timeout: process.StartTimeout}
	err = s.process.Wait(func() error {
		resp, err := client.Get(s.Endpoint() + "/version")
		if err != nil {
			return err
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			return fmt.Errorf("it answers %s", resp.Status)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("%w: %s", err, s.Log())
	}
	return nil
}
