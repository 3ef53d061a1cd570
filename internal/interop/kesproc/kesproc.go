//go:build unix

// Package kesproc runs real KES servers as child processes of a test.
//
// Package process compiles a server from the module a test stands in; [NewDeployment]
// makes what the servers of one deployment share (certificates, identities,
// policy, key store), and [Deployment.Start] starts one on a free loopback
// port. Several servers over one key store are several calls of Start:
//
//	deployment := kesproc.NewDeployment(t, process.Build(t, ".", "github.com/minio/kes/cmd/kes"), nil)
//	first, second := deployment.Start(t), deployment.Start(t)
//
// Everything lives in directories of the test and ends with it, also when the
// test fails or panics. The servers are black boxes: this package knows only
// their command line, configuration file and HTTP answers (KES spec section 9).
package kesproc

import (
	"crypto"
	"crypto/x509"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Options are the settings of a Deployment. The zero value is an empty key
// store and servers that choose their ciphers by the CPU.
type Options struct {
	// KeyStore is an existing directory of key files. It is copied: servers
	// make keys, and the original is often test data.
	KeyStore string

	// Env is added to the servers' environment; "GODEBUG=cpu.aes=off" makes
	// them create ChaCha20 keys.
	Env []string

	// VerifyClients makes servers demand that a client's certificate is valid
	// and from the deployment's CA, which API keys are not.
	VerifyClients bool

	// Policies are for further identities: what each may do, as paths
	// below /v1/, "key/decrypt/*".
	Policies map[string][]string

	// ServerCert, if not nil, changes the servers' certificate before it is
	// signed: another name, another time.
	ServerCert func(*x509.Certificate)
}

// Deployment is what its servers and their clients share. Client is allowed
// every operation on keys, so is the API key; Stranger is known to no policy.
type Deployment struct {
	CAFile   string // PEM, signed the certificate of every server
	KeyStore string // directory with one file per key

	Client   Certificate // a client certificate in files
	APIKey   APIKey      // a client certificate in one line of text
	Stranger APIKey      // an identity without any right

	binary, dir string
	options     Options
	authority   authority
	clientKey   crypto.Signer
	serverCert  Certificate
}

// NewDeployment makes certificates, identities and the key store for servers
// that run binary. A nil o means the defaults. Nothing is started.
func NewDeployment(t testing.TB, binary string, o *Options) *Deployment {
	t.Helper()
	if o == nil {
		o = &Options{}
	}
	dir := t.TempDir()
	d := &Deployment{
		KeyStore: filepath.Join(dir, "keys"),
		APIKey:   NewAPIKey(),
		Stranger: NewAPIKey(),
		binary:   binary,
		dir:      dir,
		options:  *o,
	}
	if o.KeyStore != "" {
		if err := os.CopyFS(d.KeyStore, os.DirFS(o.KeyStore)); err != nil {
			t.Fatalf("failed to copy the key store: %v", err)
		}
	}
	if err := d.makeCertificates(); err != nil {
		t.Fatalf("failed to make certificates: %v", err)
	}
	return d
}

// everything is what Client and APIKey may do.
var everything = []string{"key/create/*", "key/describe/*", "key/list/*", "key/generate/*", "key/encrypt/*", "key/decrypt/*", "status", "metrics"}

// Dir returns where the deployment's files are.
func (d *Deployment) Dir() string { return d.dir }

// config returns the configuration of a server at address; what is not named
// here is the server's default.
func (d *Deployment) config(address string) string {
	var b strings.Builder
	fmt.Fprintf(&b, `version: v1
address: %s
admin:
  identity: disabled
tls:
  key: %s
  cert: %s
`, address, d.serverCert.KeyFile, d.serverCert.CertFile)
	if d.options.VerifyClients {
		fmt.Fprintf(&b, "  auth: on\n  ca: %s\n", d.CAFile)
	}
	fmt.Fprintf(&b, "keystore:\n  fs:\n    path: %s\npolicy:\n", d.KeyStore)
	writePolicy(&b, "app", everything, d.Client.Identity, d.APIKey.Identity)
	for identity, allow := range d.options.Policies {
		writePolicy(&b, "for-"+identity[:8], allow, identity)
	}
	return b.String()
}

func writePolicy(b *strings.Builder, name string, allow []string, identities ...string) {
	fmt.Fprintf(b, "  %s:\n    allow:\n", name)
	for _, path := range allow {
		fmt.Fprintf(b, "    - /v1/%s\n", path)
	}
	fmt.Fprint(b, "    identities:\n")
	for _, identity := range identities {
		fmt.Fprintf(b, "    - %s\n", identity)
	}
}
