//go:build unix

// Package minioproc runs real MinIO servers as child processes of a test.
//
// [Build] makes the server of the nested module a test stands in, and [Start]
// starts it on a free loopback port, over drive directories that are new or
// those of [Options]:
//
//	server := minioproc.Start(t, minioproc.Build(t, "."), &minioproc.Options{
//		Env: []string{"MINIO_KMS_SECRET_KEY=" + key},
//		TLS: true, // SSE-C asks for it
//	})
//	server.Stop(t)       // the drives are whole now: read them, change them
//	server.Restart(t)    // same port, same drives
//
// Everything but the drives of Options lives in directories of the test and
// ends with it. The server is a black box: this package knows its command line,
// its environment and two HTTP answers.
package minioproc

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/objseal/objseal/internal/interop/process"
	"github.com/objseal/objseal/internal/selfsigned"
)

// Credentials of the administrator of every server; they protect nothing but
// their test. Region is where its buckets are.
const (
	User     = "objseal-test"
	Password = "objseal-test-password"
	Region   = "us-east-1"
)

// Build returns the executable of the server that the nested module in
// directory dir has as its Go tool. The first build takes minutes.
func Build(t testing.TB, dir string) string {
	t.Helper()
	return process.Tool(t, dir, "github.com/minio/minio")
}

// Options are the settings of a Server. The zero value is one new drive, plain
// HTTP and no key.
type Options struct {
	// Drives is how many new drive directories there are; zero means one. Four
	// or more make an erasure set, or several with
	// MINIO_ERASURE_SET_DRIVE_COUNT in Env.
	Drives int

	// DriveDirs are existing drive directories. They are used as they are,
	// instead of new ones, and stay.
	DriveDirs []string

	// Env is added to the server's environment.
	Env []string

	// TLS makes the server speak HTTPS, with a certificate of its own.
	TLS bool
}

// Server is one MinIO process and its drives. Its methods belong to one
// goroutine.
type Server struct {
	Drives []string // directories
	CAFile string   // PEM, what a client trusts the server by; empty without TLS

	binary, dir string
	address     string
	env         []string
	process     *process.Process
}

// Start starts a server on a free loopback port and waits until it serves
// objects. The end of t is the end of the server. A nil o means the defaults.
func Start(t testing.TB, binary string, o *Options) *Server {
	t.Helper()
	if o == nil {
		o = &Options{}
	}
	s := &Server{Drives: o.DriveDirs, binary: binary, dir: t.TempDir()}
	if err := s.prepare(o); err != nil {
		t.Fatalf("failed to prepare a MinIO server: %v", err)
	}
	t.Cleanup(func() {
		s.Kill()
		if t.Failed() {
			t.Logf("log of the MinIO server at %s:\n%s", s.address, s.Log())
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
		t.Fatalf("failed to start a MinIO server: %v", err)
	}
	return s
}

func (s *Server) prepare(o *Options) error {
	certs := filepath.Join(s.dir, "certs")
	if err := os.Mkdir(certs, 0o700); err != nil {
		return err
	}
	s.env = []string{
		"HOME=" + s.dir,
		"MINIO_ROOT_USER=" + User,
		"MINIO_ROOT_PASSWORD=" + Password,
		"MINIO_REGION=" + Region,
		"MINIO_BROWSER=off",
		"MINIO_UPDATE=off",
	}
	if s.Drives == nil {
		for i := range max(1, o.Drives) {
			s.Drives = append(s.Drives, filepath.Join(s.dir, fmt.Sprintf("drive%d", i+1)))
		}
	}
	if len(s.Drives) > 1 {
		s.env = append(s.env, "MINIO_CI_CD=on") // takes directories of one disk for drives
	}
	s.env = append(s.env, o.Env...)
	if !o.TLS {
		return nil
	}
	cert, key, err := selfsigned.New(selfsigned.Loopback, 24*time.Hour)
	if err != nil {
		return err
	}
	s.CAFile = filepath.Join(certs, "public.crt")
	return errors.Join(os.WriteFile(s.CAFile, cert, 0o600), os.WriteFile(filepath.Join(certs, "private.key"), key, 0o600))
}

// Address returns the server's host and port.
func (s *Server) Address() string { return s.address }

// URL returns where the server serves S3.
func (s *Server) URL() string {
	if s.CAFile != "" {
		return "https://" + s.address
	}
	return "http://" + s.address
}

// Transport returns a new transport that trusts the server.
func (s *Server) Transport() (*http.Transport, error) {
	transport := &http.Transport{}
	if s.CAFile == "" {
		return transport, nil
	}
	text, err := os.ReadFile(s.CAFile)
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(text)
	transport.TLSClientConfig = &tls.Config{RootCAs: roots}
	return transport, nil
}

// Log returns what the server has written to its standard output and error
// since it was started last.
func (s *Server) Log() string {
	if s.process == nil {
		return ""
	}
	return s.process.Log()
}

// Stop asks the server to end and waits until it has. Its drives are then as
// an orderly end leaves them.
func (s *Server) Stop(testing.TB) { s.process.Stop() }

// Kill ends the server without its consent, as a crash does. It may be called
// again, and on a server that never came up.
func (s *Server) Kill() {
	if s.process != nil {
		s.process.Kill()
	}
}

// Suspend makes the server hang until Resume.
func (s *Server) Suspend(t testing.TB) { s.process.Suspend(t) }

// Resume ends what Suspend began.
func (s *Server) Resume(t testing.TB) { s.process.Resume(t) }

// Restart starts a server that was stopped or killed on the same port and
// drives again. Variables in env are added to its environment from now on, a
// later one of the same name wins.
func (s *Server) Restart(t testing.TB, env ...string) {
	t.Helper()
	s.env = append(s.env, env...)
	if err := s.run(); err != nil {
		t.Fatalf("failed to restart the MinIO server: %v", err)
	}
}

// run starts the process on s.address and waits until it serves.
func (s *Server) run() error {
	args := []string{"server", "--address", s.address, "--certs-dir", filepath.Join(s.dir, "certs")}
	var err error
	s.process, err = process.Start(process.Command{
		Path: s.binary,
		Args: append(args, s.Drives...),
		Dir:  s.dir,
		Env:  s.env,
		Log:  filepath.Join(s.dir, "minio.log"),
	})
	if err != nil {
		return err
	}
	transport, err := s.Transport()
	if err != nil {
		return err
	}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport, Timeout: process.StartTimeout}
	err = s.process.Wait(func() error {
		// Drives first. Then buckets: who asks without credentials is refused,
		// but not before the server knows its users.
		if err := answers(client, s.URL()+"/minio/health/cluster", http.StatusOK); err != nil {
			return err
		}
		return answers(client, s.URL()+"/", http.StatusForbidden)
	})
	if err != nil {
		return fmt.Errorf("%w: %s", err, s.Log())
	}
	return nil
}

func answers(client *http.Client, url string, status int) error {
	resp, err := client.Get(url)
	if err != nil {
		return err
	}
	resp.Body.Close()
	if resp.StatusCode != status {
		return fmt.Errorf("%s answers %s", url, resp.Status)
	}
	return nil
}
