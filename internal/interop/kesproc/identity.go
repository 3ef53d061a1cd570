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

// makeCertificates writes a CA, the servers' certificate signed by it, and a
// client certificate. Servers trust clients by identity, not by issuer, but
// ignore certificates that are a CA's (KES spec section 2.2).
func (d *Deployment) makeCertificates() error {
	authority := &x509.Certificate{
		Subject:  pkix.Name{CommonName: "test CA"},
		KeyUsage: x509.KeyUsageCertSign,
		IsCA:     true,
	}
	ca, caKey, err := d.certify("ca", authority, nil, nil)
	if err != nil {
		return err
	}
	d.CAFile = ca.CertFile
	d.serverCert, _, err = d.certify("server", &x509.Certificate{
		Subject:     pkix.Name{CommonName: "localhost"},
		DNSNames:    []string{"localhost"},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}, authority, caKey)
	if err != nil {
		return err
	}
	d.Client, _, err = d.certify("client", &x509.Certificate{
		Subject:     pkix.Name{CommonName: "test client"},
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}, authority, caKey)
	return err
}

// certify writes name.crt and name.key: the template under a new ECDSA key,
// signed by the parent, or by itself if there is none.
func (d *Deployment) certify(name string, template, parent *x509.Certificate, parentKey crypto.Signer) (Certificate, crypto.Signer, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return Certificate{}, nil, err
	}
	if parent == nil {
		parent, parentKey = template, key
	}
	template.NotBefore = time.Now().Add(-time.Hour)
	template.NotAfter = time.Now().Add(24 * time.Hour)
	template.BasicConstraintsValid = true
	cert, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), parentKey)
	if err != nil {
		return Certificate{}, nil, err
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return Certificate{}, nil, err
	}
	c := Certificate{
		CertFile: filepath.Join(d.dir, name+".crt"),
		KeyFile:  filepath.Join(d.dir, name+".key"),
		Identity: identity(key.Public()),
	}
	if err := os.WriteFile(c.CertFile, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert}), 0o600); err != nil {
		return Certificate{}, nil, err
	}
	return c, key, os.WriteFile(c.KeyFile, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}), 0o600)
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
