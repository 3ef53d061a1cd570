//go:build unix

package kesproc

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// Certificate is an X.509 certificate with its private key, in PEM files.
type Certificate struct {
	CertFile, KeyFile string
	Identity          string // what a KES server knows its owner by
}

// APIKey is the other credential of a KES client: the seed of an Ed25519 key
// as text (KES spec section 2.4).
type APIKey struct {
	Text     string // "kes:v1:…"; protects nothing but its test
	Identity string
}

// NewAPIKey returns a new random API key.
func NewAPIKey() APIKey {
	public, private, _ := ed25519.GenerateKey(nil) // fails only if its reader does
	return APIKey{
		Text:     "kes:v1:" + base64.StdEncoding.EncodeToString(append([]byte{0}, private.Seed()...)),
		Identity: identity(public),
	}
}

// identity is the SHA-256 of the public key's DER form (KES spec section 2.2).
func identity(public crypto.PublicKey) string {
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		panic("kesproc: internal error: " + err.Error())
	}
	sum := sha256.Sum256(der)
	return hex.EncodeToString(sum[:])
}

// authority signs the certificates of a deployment.
type authority struct {
	cert *x509.Certificate
	key  crypto.Signer
}

// makeCertificates writes a CA, the servers' certificate signed by it, and a
// client certificate. Unless told otherwise servers trust clients by identity,
// not by issuer, but ignore certificates that are a CA's (KES spec section 2.2).
func (d *Deployment) makeCertificates() error {
	ca, a, err := d.makeAuthority("ca")
	if err != nil {
		return err
	}
	d.CAFile, d.authority = ca.CertFile, a
	template := &x509.Certificate{
		Subject:     pkix.Name{CommonName: "localhost"},
		DNSNames:    []string{"localhost"},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	if d.options.ServerCert != nil {
		d.options.ServerCert(template)
	}
	if d.serverCert, _, err = d.certify("server", template, a); err != nil {
		return err
	}
	d.Client, d.clientKey, err = d.certify("client", clientTemplate(), a)
	return err
}

func (d *Deployment) makeAuthority(name string) (Certificate, authority, error) {
	template := &x509.Certificate{
		Subject:  pkix.Name{CommonName: "test CA"},
		KeyUsage: x509.KeyUsageCertSign,
		IsCA:     true,
	}
	c, key, err := d.certify(name, template, authority{})
	return c, authority{template, key}, err
}

func clientTemplate() *x509.Certificate {
	return &x509.Certificate{
		Subject:     pkix.Name{CommonName: "test client"},
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
}

// Reissue signs another certificate for the key, and so the identity, of
// Client, after change was made to it. The deployment's CA signs, or, for a
// foreigner's, one that nobody knows.
func (d *Deployment) Reissue(t testing.TB, name string, foreign bool, change func(*x509.Certificate)) Certificate {
	t.Helper()
	a := d.authority
	var err error
	if foreign {
		if _, a, err = d.makeAuthority(name + "-ca"); err != nil {
			t.Fatalf("failed to make a CA: %v", err)
		}
	}
	template := clientTemplate()
	setTimes(template)
	if change != nil {
		change(template)
	}
	c, err := d.sign(name, template, d.clientKey, a)
	if err != nil {
		t.Fatalf("failed to make a client certificate: %v", err)
	}
	return c
}

// certify makes a new ECDSA key and signs the template for it.
func (d *Deployment) certify(name string, template *x509.Certificate, a authority) (Certificate, crypto.Signer, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return Certificate{}, nil, err
	}
	setTimes(template)
	c, err := d.sign(name, template, key, a)
	return c, key, err
}

func setTimes(template *x509.Certificate) {
	if template.NotAfter.IsZero() {
		template.NotBefore = time.Now().Add(-time.Hour)
		template.NotAfter = time.Now().Add(60 * 24 * time.Hour) // too far for a warning
	}
}

// sign writes name.crt and name.key: the template for the key, signed by the
// authority, or by itself if there is none.
func (d *Deployment) sign(name string, template *x509.Certificate, key crypto.Signer, a authority) (Certificate, error) {
	if a.key == nil {
		a = authority{template, key}
	}
	template.BasicConstraintsValid = true
	cert, err := x509.CreateCertificate(rand.Reader, template, a.cert, key.Public(), a.key)
	if err != nil {
		return Certificate{}, err
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return Certificate{}, err
	}
	c := Certificate{
		CertFile: filepath.Join(d.dir, name+".crt"),
		KeyFile:  filepath.Join(d.dir, name+".key"),
		Identity: identity(key.Public()),
	}
	if err := os.WriteFile(c.CertFile, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert}), 0o600); err != nil {
		return Certificate{}, err
	}
	return c, os.WriteFile(c.KeyFile, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}), 0o600)
}

// TLS returns a client's configuration: it trusts the servers of d and shows
// the client certificate.
func (d *Deployment) TLS() (*tls.Config, error) {
	ca, err := os.ReadFile(d.CAFile)
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ca)
	pair, err := tls.LoadX509KeyPair(d.Client.CertFile, d.Client.KeyFile)
	return &tls.Config{RootCAs: roots, Certificates: []tls.Certificate{pair}}, err
}
