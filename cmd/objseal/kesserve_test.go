//go:build unix

package main

import (
	"bufio"
	"crypto/x509"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/objseal/objseal/internal/selfsigned"
	"github.com/objseal/objseal/kms"
	"github.com/objseal/objseal/kms/kes"
)

// TestKESServeReload: SIGHUP makes a server read its policies and certificate
// again, what is wrong changes nothing, and SIGTERM is an orderly end.
func TestKESServeReload(t *testing.T) {
	// Tests may have been started with SIGHUP ignored, by nohup; then the server
	// does not listen to it either.
	heard := make(chan os.Signal, 1)
	signal.Notify(heard, syscall.SIGHUP)
	defer signal.Stop(heard)

	dir := t.TempDir()
	certFile, keyFile := filepath.Join(dir, "given.crt"), filepath.Join(dir, "given.key")
	makePair := func() string {
		t.Helper()
		cert, key, err := selfsigned.New([]string{"127.0.0.1"}, kesValidity)
		if err == nil {
			err = errors.Join(os.WriteFile(certFile, cert, 0o600), os.WriteFile(keyFile, key, 0o600))
		}
		if err != nil {
			t.Fatal(err)
		}
		ca := filepath.Join(t.TempDir(), "ca.crt")
		if err := os.WriteFile(ca, cert, 0o600); err != nil {
			t.Fatal(err)
		}
		return ca
	}
	ca := makePair()
	stdout, stdoutW := io.Pipe()
	stderr, stderrW := io.Pipe()
	code := make(chan int)
	go func() {
		code <- run([]string{"kes", "serve", "--json", "--dir", filepath.Join(dir, "d"), "--address", "127.0.0.1:0", "--cert", certFile, "--key", keyFile}, nil, stdoutW, stderrW)
		stdoutW.Close()
		stderrW.Close()
	}()
	var r struct {
		Endpoint   string
		CAFile     string `json:"ca_file"`
		APIKeyFile string `json:"api_key_file"`
		PolicyFile string `json:"policy_file"`
	}
	if err := json.NewDecoder(stdout).Decode(&r); err != nil || r.CAFile != certFile {
		t.Fatalf("%+v, %v", r, err)
	}
	go io.Copy(io.Discard, stdout)
	messages := make(chan string, 1000)
	go func() {
		for lines := bufio.NewScanner(stderr); lines.Scan(); {
			messages <- lines.Text()
		}
		close(messages)
	}()
	// hup sends the signal and waits for the messages that it causes, the last
	// of which is of the certificate. Files may have been read before it too.
	hup := func() (got string) {
		t.Helper()
		if err := syscall.Kill(os.Getpid(), syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
		for m := range messages {
			got += m + "\n"
			if policy := strings.Contains(got, "policy file") || strings.Contains(got, r.PolicyFile+" again"); policy && (strings.Contains(got, certFile+" again") || strings.Contains(got, "certificate:")) {
				return got
			}
		}
		t.Fatalf("it ended: %s", got)
		return ""
	}
	text, err := os.ReadFile(r.APIKeyFile)
	if err != nil {
		t.Fatal(err)
	}
	key, err := kes.ParseAPIKey(strings.TrimSpace(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	create := func(ca, name string) error {
		t.Helper()
		text, err := os.ReadFile(ca)
		if err != nil {
			t.Fatal(err)
		}
		roots := x509.NewCertPool()
		roots.AppendCertsFromPEM(text)
		b, err := kes.New([]string{r.Endpoint}, key, &kes.Options{RootCAs: roots})
		if err != nil {
			t.Fatal(err)
		}
		defer b.Close()
		return kms.NewClient(b, nil).CreateKey(t.Context(), name)
	}
	if err := create(ca, "a"); err != nil {
		t.Fatal(err)
	}

	// The client loses its right; the server gets another certificate.
	if err := os.WriteFile(r.PolicyFile, []byte("policy:\n  client:\n    allow: [/v1/key/generate/*]\n    identities: ["+key.Identity()+"]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	old := ca
	ca = makePair()
	hup()
	if err := create(ca, "b"); !errors.Is(err, kms.ErrNotPermitted) {
		t.Errorf("the policy was not read again: %v", err)
	}
	if err := create(old, "b"); !errors.Is(err, kms.ErrUnreachable) {
		t.Errorf("the certificate was not read again: %v", err)
	}

	// What cannot be read changes nothing.
	for _, path := range []string{r.PolicyFile, certFile} {
		if err := os.WriteFile(path, []byte("policy: garbage\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if got := hup(); !strings.Contains(got, "what was read before stays") {
		t.Errorf("%s", got)
	}
	if err := create(ca, "b"); !errors.Is(err, kms.ErrNotPermitted) {
		t.Errorf("%v", err)
	}

	if err := os.WriteFile(r.PolicyFile, firstPolicy(key.Identity()), 0o600); err != nil {
		t.Fatal(err)
	}
	hup()
	if err := create(ca, "b"); err != nil {
		t.Error(err)
	}
	if err := syscall.Kill(os.Getpid(), syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if got := <-code; got != 0 {
		t.Errorf("exit code %d", got)
	}
	if err := create(ca, "c"); !errors.Is(err, kms.ErrUnreachable) {
		t.Errorf("it still serves: %v", err)
	}
}
