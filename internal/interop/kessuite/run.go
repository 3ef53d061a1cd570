//go:build unix

package kessuite

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/objseal/objseal/internal/interop/kesproc"
)

// commandTimeout ends a command that hangs: far beyond any deadline of its own.
const commandTimeout = 3 * time.Minute

// caller is the command with a way to reach the key servers: nothing else of
// this process's environment gets to it, no variable and no key ring.
type caller struct {
	name  string // of the subtest
	path  string
	env   []string
	flags []string
	key   string // default key, empty if this way cannot name one
}

// site is a server, or the door before one.
type site interface {
	Address() string
	Endpoint() string
}

// withAPIKey reaches the servers as the kes command does.
func withAPIKey[S site](path string, d *kesproc.Deployment, key kesproc.APIKey, servers ...S) caller {
	var addresses []string
	for _, s := range servers {
		addresses = append(addresses, s.Address())
	}
	return caller{
		name: "API key",
		path: path,
		env: []string{
			"MINIO_KES_SERVER=" + strings.Join(addresses, ","),
			"MINIO_KES_API_KEY=" + key.Text,
		},
		flags: []string{"--kes-ca", d.CAFile},
	}
}

// withCertificate reaches the servers as MinIO does; keyName is the default key.
func withCertificate[S site](path string, d *kesproc.Deployment, keyName string, servers ...S) caller {
	var endpoints []string
	for _, s := range servers {
		endpoints = append(endpoints, s.Endpoint())
	}
	return caller{
		name: "mTLS",
		path: path,
		env: []string{
			"MINIO_KMS_KES_ENDPOINT=" + strings.Join(endpoints, ","),
			"MINIO_KMS_KES_CERT_FILE=" + d.Client.CertFile,
			"MINIO_KMS_KES_KEY_FILE=" + d.Client.KeyFile,
			"MINIO_KMS_KES_CAPATH=" + d.CAFile,
			"MINIO_KMS_KES_KEY_NAME=" + keyName,
		},
		key: keyName,
	}
}

// flag returns the value of a flag, empty if it is not given.
func (c caller) flag(name string) string {
	if i := slices.Index(c.flags, name); i >= 0 {
		return c.flags[i+1]
	}
	return ""
}

type result struct {
	args           []string
	code           int
	stdout, stderr string
}

// run runs the command in directory dir.
func (c caller) run(t *testing.T, dir string, args ...string) result {
	t.Helper()
	return c.start(t, dir, args...).wait(t)
}

// running is a command on its way.
type running struct {
	*exec.Cmd
	args           []string
	ctx            context.Context
	cancel         context.CancelFunc
	stdout, stderr bytes.Buffer
}

// start starts the command in directory dir; wait must follow.
func (c caller) start(t *testing.T, dir string, args ...string) *running {
	t.Helper()
	p := &running{args: args}
	p.ctx, p.cancel = context.WithTimeout(t.Context(), commandTimeout)
	home := t.TempDir()
	p.Cmd = exec.CommandContext(p.ctx, c.path, append(args, c.flags...)...)
	p.Dir = dir
	p.Env = append([]string{"HOME=" + home, "XDG_CONFIG_HOME=" + home}, c.env...)
	p.Stdout, p.Stderr = &p.stdout, &p.stderr
	if err := p.Start(); err != nil {
		t.Fatalf("failed to run objseal %s: %v", strings.Join(args, " "), err)
	}
	return p
}

func (p *running) wait(t *testing.T) result {
	t.Helper()
	defer p.cancel()
	err := p.Wait()
	line := strings.Join(p.args, " ")
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		t.Fatalf("failed to run objseal %s: %v", line, err)
	}
	if p.ctx.Err() != nil {
		t.Fatalf("objseal %s did not end: %v", line, p.ctx.Err())
	}
	return result{p.args, p.ProcessState.ExitCode(), p.stdout.String(), p.stderr.String()}
}

// must runs the command and wants success.
func (c caller) must(t *testing.T, dir string, args ...string) result {
	t.Helper()
	r := c.run(t, dir, args...)
	if r.code != 0 {
		t.Fatalf("objseal %s: exit code %d\n%s", strings.Join(args, " "), r.code, r.stderr)
	}
	return r
}

// refused runs the command and wants exit code 1, an error that holds every
// one of words, a hint, and not one file in dir made, lost or changed.
func (c caller) refused(t *testing.T, dir string, words []string, args ...string) {
	t.Helper()
	before := snapshot(t, dir)
	r := c.run(t, dir, args...)
	line := strings.Join(args, " ")
	if r.code != 1 {
		t.Errorf("objseal %s: exit code %d, want 1\n%s", line, r.code, r.stderr)
	}
	if r.stdout != "" {
		t.Errorf("objseal %s: wrote %d bytes to standard output", line, len(r.stdout))
	}
	for _, word := range append(words, "objseal: error: ", "objseal: hint: ") {
		if !strings.Contains(r.stderr, word) {
			t.Errorf("objseal %s: %q is not in its messages:\n%s", line, word, r.stderr)
		}
	}
	after := snapshot(t, dir)
	for name, sum := range before {
		if after[name] != sum {
			t.Errorf("objseal %s: changed or removed %s", line, name)
		}
	}
	for name := range after {
		if _, ok := before[name]; !ok {
			t.Errorf("objseal %s: left %s behind", line, name)
		}
	}
}

// snapshot returns the SHA-256 of every file in dir by name.
func snapshot(t *testing.T, dir string) map[string]string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	sums := make(map[string]string)
	for _, e := range entries {
		sums[e.Name()] = sum(read(t, filepath.Join(dir, e.Name())))
	}
	return sums
}

func sum(b []byte) string {
	s := sha256.Sum256(b)
	return hex.EncodeToString(s[:])
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func write(t *testing.T, path string, b []byte) {
	t.Helper()
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

// moduleDir returns the directory of objseal's own module as the caller's sees it.
func moduleDir(t *testing.T) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "go", "list", "-m", "-f", "{{.Dir}}", "github.com/objseal/objseal").Output()
	if err != nil {
		t.Fatalf("failed to find the module of objseal: %v", err)
	}
	return strings.TrimSpace(string(out))
}
