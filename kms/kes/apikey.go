package kes

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"errors"
	"fmt"
	"math/big"
	"strings"
	"time"

	"github.com/objseal/objseal/internal/secret"
)

// Errors of [ParseAPIKey], beside those of base64.
var (
	ErrAPIKeyLength = errors.New("kes: invalid API key: invalid length")
	ErrAPIKeyType   = errors.New("kes: invalid API key: unsupported type")
)

const (
	apiKeyPrefix = "kes:v1:"
	typeEd25519  = 0
)

// APIKey is a KES API key: an Ed25519 private key in one line of text (KES spec
// section 2.4). It never prints itself, [APIKey.Text] is the only way to its
// text. It is Credentials: every connection gets a fresh certificate, so
// nothing expires.
type APIKey struct{ secret.Key }

var _ Credentials = APIKey{}

// NewAPIKey returns a new random APIKey.
func NewAPIKey() APIKey { return APIKey{secret.Random()} }

// ParseAPIKey reads an API key, with or without its prefix "kes:v1:". No part
// of the text is in the error.
func ParseAPIKey(text string) (APIKey, error) {
	b, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(text, apiKeyPrefix))
	defer clear(b)
	switch {
	case err != nil:
		return APIKey{}, fmt.Errorf("kes: invalid API key: %w", err)
	case len(b) != 1+ed25519.SeedSize:
		return APIKey{}, ErrAPIKeyLength
	case b[0] != typeEd25519:
		return APIKey{}, ErrAPIKeyType
	}
	seed, err := secret.New(b[1:])
	if err != nil {
		return APIKey{}, err
	}
	return APIKey{seed}, nil
}

// Text returns the key itself, with prefix. Whoever has it has every right of
// its identity.
func (k APIKey) Text() string {
	b := append([]byte{typeEd25519}, k.Bytes()...)
	defer clear(b)
	return apiKeyPrefix + base64.StdEncoding.EncodeToString(b)
}

// Equal compares two API keys in constant time.
func (k APIKey) Equal(other APIKey) bool { return k.Key.Equal(other.Key) }

// Identity returns what servers know the key by.
func (k APIKey) Identity() string {
	if k.IsZero() {
		return ""
	}
	spki, err := x509.MarshalPKIXPublicKey(ed25519.NewKeyFromSeed(k.Bytes()).Public())
	if err != nil {
		panic("kes: internal error: " + err.Error())
	}
	return identityOf(spki)
}

// NotAfter returns the zero time: an API key does not expire.
func (k APIKey) NotAfter() time.Time { return time.Time{} }

// Certificate returns a new self-signed certificate for the key, valid for 90
// days.
func (k APIKey) Certificate() (*tls.Certificate, error) {
	if k.IsZero() {
		return nil, ErrAPIKeyLength
	}
	key := ed25519.NewKeyFromSeed(k.Bytes())
	serial := make([]byte, 16)
	rand.Read(serial)
	now := time.Now()
	template := &x509.Certificate{
		SerialNumber:          new(big.Int).SetBytes(serial),
		Subject:               pkix.Name{CommonName: k.Identity()},
		NotBefore:             now,
		NotAfter:              now.Add(90 * 24 * time.Hour),
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
		BasicConstraintsValid: true, // CA:FALSE: a server ignores CA certificates
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, fmt.Errorf("failed to make a certificate for the API key: %w", err)
	}
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, nil
}
