package main

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/objseal/objseal/internal/selfsigned"
	"github.com/objseal/objseal/kms/kes"
	"github.com/objseal/objseal/kms/kes/keserver"
)

// kesDir is the directory of a development KES server. What holds a secret in
// it has mode 0600, and nothing is ever overwritten but the endpoint.
type kesDir struct {
	dir               string
	policyFile        string
	certFile, keyFile string

	client      kes.APIKey // of the first client; zero if its file was taken away
	certificate atomic.Pointer[tls.Certificate]
	seen        map[string]fileState // of the files that are read again
}

const (
	apiKeyFile   = "api-key"
	endpointFile = "endpoint"

	// kesValidity is for how long a certificate is made. Who trusts it has it
	// from this machine.
	kesValidity = 10 * 365 * 24 * time.Hour
)

// policyFiles are the names that a policy file can have; the first is made.
var policyFiles = []string{"policy.yml", "policy.yaml", "policy.json"}

func loopbackHosts() []string { return append([]string(nil), selfsigned.Loopback...) }

func (d *kesDir) path(name string) string { return filepath.Join(d.dir, name) }

// openKESDir makes what is missing in the directory and reads the rest. Hosts
// are who a certificate is made for.
func openKESDir(path, certFile, keyFile string, hosts []string) (*kesDir, error) {
	abs, err := filepath.Abs(path)
	if err == nil {
		err = os.MkdirAll(abs, 0o700)
	}
	if err != nil {
		return nil, fmt.Errorf("failed to open the server's directory: %w", err)
	}
	d := &kesDir{dir: abs, certFile: certFile, keyFile: keyFile}
	if d.certFile == "" {
		d.certFile, d.keyFile = d.path("server.crt"), d.path("server.key")
		if err := d.makeCertificate(hosts); err != nil {
			return nil, err
		}
	}
	if err := d.loadCertificate(); err != nil {
		return nil, err
	}
	return d, d.openPolicy()
}

func missing(path string) bool {
	_, err := os.Lstat(path)
	return errors.Is(err, fs.ErrNotExist)
}

func (d *kesDir) makeCertificate(hosts []string) error {
	if !missing(d.certFile) || !missing(d.keyFile) {
		return nil // half of a pair is somebody's, and told when it is read
	}
	var named []string
	for _, host := range hosts {
		if ip := net.ParseIP(host); (ip == nil || !ip.IsUnspecified()) && !slices.Contains(named, host) {
			named = append(named, host)
		}
	}
	cert, key, err := selfsigned.New(named, kesValidity)
	if err != nil {
		return err
	}
	defer clear(key)
	if err := writeFile(d.keyFile, key, 0o600, false); err != nil {
		return err
	}
	return writeFile(d.certFile, cert, 0o600, false)
}

func (d *kesDir) loadCertificate() error {
	pair, err := tls.LoadX509KeyPair(d.certFile, d.keyFile)
	if err != nil {
		return &serveError{fmt.Errorf("failed to read the server's certificate: %w", err),
			"--cert and --key name PEM files; without them server.crt and server.key in the directory are made if both are missing"}
	}
	d.certificate.Store(&pair)
	return nil
}

// openPolicy finds the policy file and the first client's key. Only if there is
// no policy file both are made.
func (d *kesDir) openPolicy() error {
	for _, name := range policyFiles {
		if missing(d.path(name)) {
			continue
		}
		if d.policyFile != "" {
			return &serveError{fmt.Errorf("there are two policy files: %s and %s", d.policyFile, d.path(name)), "keep one of them"}
		}
		d.policyFile = d.path(name)
	}
	text, err := os.ReadFile(d.path(apiKeyFile))
	defer clear(text)
	switch {
	case err == nil:
		if d.client, err = kes.ParseAPIKey(strings.TrimSpace(string(text))); err != nil {
			return &serveError{fmt.Errorf("failed to read %s: %w", d.path(apiKeyFile), err), "the server itself does not need it: move it away, and give clients keys by objseal key api"}
		}
	case !errors.Is(err, fs.ErrNotExist):
		return err
	case d.policyFile != "":
		return nil // whoever runs the server has made other clients
	default:
		d.client = kes.NewAPIKey()
		if err := writeFile(d.path(apiKeyFile), []byte(d.client.Text()+"\n"), 0o600, false); err != nil {
			return err
		}
	}
	if d.policyFile != "" {
		return nil
	}
	d.policyFile = d.path(policyFiles[0])
	return writeFile(d.policyFile, firstPolicy(d.client.Identity()), 0o600, false)
}

// newServer returns a server of what is in the directory.
func (d *kesDir) newServer(log io.Writer) (*keserver.Server, error) {
	store, err := keserver.OpenDir(d.path("keys"))
	if err != nil {
		return nil, err
	}
	d.seen = d.look()
	access, err := readPolicy(d.policyFile)
	if err != nil {
		return nil, err
	}
	server, err := keserver.New(&keserver.Options{Access: access, KeyStore: store, Log: log})
	if err != nil {
		return nil, policyError(d.policyFile, err)
	}
	return server, nil
}

// warnings are what is odd of the certificate. Host is where the server listens.
func (d *kesDir) warnings(host string) (list []string) {
	leaf := d.certificate.Load().Leaf
	ip := net.ParseIP(host)
	switch unspecified := ip != nil && ip.IsUnspecified(); {
	case time.Now().After(leaf.NotAfter):
		list = append(list, fmt.Sprintf("the certificate %s has expired: clients refuse it", d.certFile))
	case unspecified && len(leaf.DNSNames)+len(leaf.IPAddresses) > 0:
		list = append(list, fmt.Sprintf("the certificate names %s: clients that know this server by another name refuse it",
			strings.Join(append(leaf.DNSNames, ipStrings(leaf.IPAddresses)...), ", ")))
	case !unspecified && leaf.VerifyHostname(host) != nil:
		list = append(list, fmt.Sprintf("the certificate %s does not name %s: clients refuse it", d.certFile, host))
	}
	return list
}

func ipStrings(ips []net.IP) (list []string) {
	for _, ip := range ips {
		list = append(list, ip.String())
	}
	return list
}

// announce writes where the server is; forget takes it back.
func (d *kesDir) announce(endpoint string) (forget func(), err error) {
	path, line := d.path(endpointFile), endpoint+"\n"
	if err := writeFile(path, []byte(line), 0o600, true); err != nil {
		return nil, err
	}
	return func() {
		if text, err := os.ReadFile(path); err == nil && string(text) == line { // not another server's
			os.Remove(path)
		}
	}, nil
}

// fileState is by what a change of a file is seen.
type fileState struct {
	modified time.Time
	size     int64
}

func (d *kesDir) look() map[string]fileState {
	states := make(map[string]fileState)
	for _, path := range []string{d.policyFile, d.certFile, d.keyFile} {
		if info, err := os.Stat(path); err == nil {
			states[path] = fileState{info.ModTime(), info.Size()}
		}
	}
	return states
}

// reload reads what has changed, or everything. What cannot be read leaves
// things as they were.
func (d *kesDir) reload(server *keserver.Server, stderr io.Writer, all bool) {
	before := d.seen
	d.seen = d.look()
	if changed := before[d.policyFile] != d.seen[d.policyFile]; changed || all {
		access, err := readPolicy(d.policyFile)
		if err == nil {
			if err = server.SetAccess(access); err != nil {
				err = policyError(d.policyFile, err)
			}
		}
		told(stderr, d.policyFile, err)
	}
	if changed := before[d.certFile] != d.seen[d.certFile] || before[d.keyFile] != d.seen[d.keyFile]; changed || all {
		told(stderr, d.certFile, d.loadCertificate())
	}
}

func told(stderr io.Writer, path string, err error) {
	if err != nil {
		fmt.Fprintf(stderr, "objseal: not read again, what was read before stays: %v\n", err)
		return
	}
	fmt.Fprintf(stderr, "objseal: read %s again\n", path)
}
