// Package kes gets data keys from MinIO KES servers.
//
// Start with [New]: it makes a [Backend] for one or more servers that share a
// key store, and never calls out. Credentials are an API key ([ParseAPIKey]) or
// a certificate and its private key ([LoadCertificate]); the servers know both
// by an identity, the SHA-256 of the public key, which their policies name.
//
//	creds, err := kes.ParseAPIKey("kes:v1:…")
//	backend, err := kes.New([]string{"https://kes-1:7373", "https://kes-2:7373"}, creds, nil)
//	client := kms.NewClient(backend, &kms.Options{DefaultKeyID: "app-1"})
//
// Every call is one request over TLS 1.2 or later, HTTP/2 where the server
// speaks it:
//
//	POST /v1/key/generate/NAME  {"context"}               → {"plaintext", "ciphertext"}
//	POST /v1/key/decrypt/NAME   {"ciphertext", "context"} → {"plaintext"}
//	POST /v1/key/encrypt/NAME   {"plaintext", "context"}  → {"ciphertext"}
//	POST /v1/key/create/NAME, /v1/key/import/NAME, /v1/key/hmac/NAME
//	GET  /v1/key/describe/NAME, /v1/key/list/PREFIX; DELETE /v1/key/delete/NAME
//	GET  /version, /v1/ready, /v1/status, /v1/metrics, /v1/api, /v1/log/…
//	GET  /v1/policy/…, /v1/identity/…
//
// Binary values are base64. The context, always sent, is the canonical form of
// the [kms.AssociatedData].
//
// Guaranteed: a call ends when its context does, or after [Options.CallTimeout].
// It goes on to the next server, with its whole body, when one fails or hangs. A
// hung server costs the calls that met it one [Options.TryTimeout], and those
// that begin after the first has waited so long nothing: it is asked last from
// then on, and every 30 seconds one request that another server answers is sent
// to it as well, whose answer nobody waits for. While no server is well, all are
// asked. What a server says is bounded, and never decides what kind an error is
// of: the status and the operation do. Not guaranteed: that CreateKey made the
// key when it says that the key exists, see [ErrAnswerLost].
//
// Servers of the generations v0.23 and v0.24 (2025), and what is known of older
// ones, are supported. Source: KES spec sections 1, 2 and 7.
package kes

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/objseal/objseal/kms"
)

// Options are the settings of a Backend. The zero value is good.
type Options struct {
	// DefaultKeyID names the key for calls that name none. If empty, such
	// calls fail with kms.ErrInvalidKeyID.
	DefaultKeyID string

	// RootCAs are who may issue the servers' certificates. Nil: the system's.
	RootCAs *x509.CertPool

	// TryTimeout ends one try at one server, connecting included; the next
	// server is tried then. 0 means 10 seconds.
	TryTimeout time.Duration

	// CallTimeout ends a call, all its tries and the pauses between included.
	// 0 means three times TryTimeout.
	CallTimeout time.Duration

	// OnExpiry is told when the client's certificate is about to expire: once
	// for a certificate when 30 days are left, once at 7 days, at 1, and when it
	// has expired. It is looked at when a call is made, once a minute at most.
	// OnExpiry must be safe for concurrent use and should return at once.
	OnExpiry func(*ExpiryError)
}

// Backend is a kms.Backend, kms.Manager, kms.Importer, kms.Deleter and
// kms.Encrypter over KES servers. It is safe for concurrent use.
type Backend struct {
	creds        Credentials
	tls          *tls.Config
	client       *http.Client
	endpoints    []*endpoint // the one to prefer first
	defaultKeyID string
	tryTimeout   time.Duration
	callTimeout  time.Duration
	pause        func() time.Duration // before a server is tried again
	expiry       expiryWatch

	mu   sync.Mutex
	open context.Context // ends with Close; a new one follows
	end  context.CancelFunc
}

var (
	_ kms.Backend   = (*Backend)(nil)
	_ kms.Manager   = (*Backend)(nil)
	_ kms.Importer  = (*Backend)(nil)
	_ kms.Deleter   = (*Backend)(nil)
	_ kms.Encrypter = (*Backend)(nil)
)

// New returns a Backend for the servers at endpoints: URLs of the form
// https://host:port, see [ParseEndpoints]. A nil o means the defaults. Nothing
// is called.
func New(endpoints []string, creds Credentials, o *Options) (*Backend, error) {
	if creds == nil {
		return nil, fmt.Errorf("%w: a KES server asks for an API key or a certificate", kms.ErrNotConfigured)
	}
	if o == nil {
		o = new(Options)
	}
	b := &Backend{
		creds:        creds,
		defaultKeyID: o.DefaultKeyID,
		tryTimeout:   o.TryTimeout,
		callTimeout:  o.CallTimeout,
		pause:        randomPause,
		expiry:       expiryWatch{tell: o.OnExpiry},
	}
	if b.tryTimeout <= 0 {
		b.tryTimeout = 10 * time.Second
	}
	if b.callTimeout <= 0 {
		b.callTimeout = 3 * b.tryTimeout
	}
	b.open, b.end = context.WithCancel(context.Background())
	var err error
	if b.endpoints, err = newEndpoints(endpoints); err != nil {
		return nil, err
	}
	b.tls = newTLSConfig(creds, o.RootCAs)
	b.client = newHTTPClient(b.tls.Clone(), b.tryTimeout)
	return b, nil
}

// Close closes the connections that are idle just now, and ends what runs in
// the background. The Backend stays usable.
func (b *Backend) Close() error {
	b.mu.Lock()
	b.end()
	b.open, b.end = context.WithCancel(context.Background())
	b.mu.Unlock()
	b.client.CloseIdleConnections()
	return nil
}

// closing returns what ends with the next Close.
func (b *Backend) closing() context.Context {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.open
}

// Endpoints returns the servers in the order in which they are asked.
func (b *Backend) Endpoints() (urls []string) {
	for _, e := range b.endpoints {
		urls = append(urls, e.base)
	}
	return urls
}

// Each returns a Backend for each server alone, in the order of Endpoints, for
// calls that are about one. They share connections and all that is known of the
// servers with b.
func (b *Backend) Each() (alone []*Backend) {
	for _, e := range b.endpoints {
		a := &Backend{creds: b.creds, tls: b.tls, client: b.client, endpoints: []*endpoint{e}, defaultKeyID: b.defaultKeyID,
			tryTimeout: b.tryTimeout, callTimeout: b.callTimeout, pause: b.pause}
		a.open, a.end = context.WithCancel(context.Background())
		alone = append(alone, a)
	}
	return alone
}

// Identity returns who this client is to the servers.
func (b *Backend) Identity() string { return b.creds.Identity() }

// NotAfter returns when servers may begin to refuse this client's certificate;
// zero if never.
func (b *Backend) NotAfter() time.Time { return b.creds.NotAfter() }

// Expiry returns an *ExpiryError if that has come or will within 30 days.
func (b *Backend) Expiry() error { return CheckExpiry(b.creds, time.Now()) }

// maxBody is the longest request body that servers read, in bytes (KES spec
// section 1.2).
const maxBody = 1_000_000

// Longest answers that are read, in bytes.
const (
	maxAnswer  = 1 << 20
	maxList    = 16 << 20 // older servers answer with all keys at once
	maxMetrics = 4 << 20
)

// message is the body of every request about data keys, and of every answer.
type message struct {
	Plaintext  []byte `json:"plaintext,omitempty"`
	Ciphertext []byte `json:"ciphertext,omitempty"`
	Context    []byte `json:"context,omitempty"`
}

// GenerateKey returns a new data key. Trying it again is safe: a data key whose
// answer was lost is used by nobody.
func (b *Backend) GenerateKey(ctx context.Context, keyID string, ad kms.AssociatedData) (kms.GeneratedKey, error) {
	keyID, err := b.keyID(keyID)
	if err != nil {
		return kms.GeneratedKey{}, err
	}
	var key kms.DataKey
	var ciphertext []byte
	err = b.do(ctx, call{
		op: opGenerate, name: keyID, in: message{Context: ad.Canonical()}, limit: maxAnswer,
		out: func(a answer) (err error) {
			key, ciphertext, err = dataKey(a)
			if err == nil && len(ciphertext) == 0 {
				err = fmt.Errorf("%w: it has no ciphertext", errBadAnswer)
			}
			return err
		},
	})
	if err != nil {
		return kms.GeneratedKey{}, err
	}
	return kms.GeneratedKey{Key: key, KeyID: keyID, Ciphertext: ciphertext}, nil
}

// Decrypt opens a data key. A ciphertext that opens to anything but 32 bytes is
// kms.ErrKeySize.
func (b *Backend) Decrypt(ctx context.Context, keyID string, ciphertext []byte, ad kms.AssociatedData) (kms.DataKey, error) {
	keyID, err := b.keyID(keyID)
	if err != nil {
		return kms.DataKey{}, err
	}
	if n := len(ciphertext); n == 0 || n > kms.MaxCiphertext {
		return kms.DataKey{}, fmt.Errorf("%w: it has %d bytes", kms.ErrNotAuthentic, n)
	}
	var key kms.DataKey
	err = b.do(ctx, call{
		op: opDecrypt, name: keyID, in: message{Ciphertext: ciphertext, Context: ad.Canonical()}, limit: maxAnswer,
		out: func(a answer) (err error) {
			key, _, err = dataKey(a)
			return err
		},
	})
	return key, err
}

// dataKey reads an answer with a data key, and leaves no other copy of it.
func dataKey(a answer) (key kms.DataKey, ciphertext []byte, err error) {
	defer clear(a.body)
	var m message
	if err := a.decode(&m); err != nil {
		return kms.DataKey{}, nil, err
	}
	defer clear(m.Plaintext)
	key, err = kms.NewDataKey(m.Plaintext)
	return key, m.Ciphertext, err
}

// Encrypt seals plaintext, of at most about 700 KB, under the named key.
func (b *Backend) Encrypt(ctx context.Context, keyID string, plaintext []byte, ad kms.AssociatedData) ([]byte, error) {
	keyID, err := b.keyID(keyID)
	if err != nil {
		return nil, err
	}
	var m message
	err = b.do(ctx, call{
		op: opEncrypt, name: keyID, in: message{Plaintext: plaintext, Context: ad.Canonical()}, limit: 2 * maxAnswer,
		out: func(a answer) error {
			if err := a.decode(&m); err != nil {
				return err
			}
			if len(m.Ciphertext) == 0 {
				return fmt.Errorf("%w: it has no ciphertext", errBadAnswer)
			}
			return nil
		},
	})
	if err != nil {
		return nil, err
	}
	return m.Ciphertext, nil
}

// keyID returns the name to use for keyID, or the reason why there is none.
func (b *Backend) keyID(keyID string) (string, error) {
	if keyID == "" {
		keyID = b.defaultKeyID
	}
	return keyID, checkName(keyID)
}

// checkName is in front of every URL that holds a key's name.
func checkName(name string) error {
	switch {
	case name == "":
		return fmt.Errorf("%w: no key is named, and there is no default", kms.ErrInvalidKeyID)
	case !kms.ValidName(name):
		return fmt.Errorf("%w: %s", kms.ErrInvalidKeyID, kms.QuoteKeyID(name))
	}
	return nil
}
