package kes

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"
)

// Credentials are who a client is to a server: an [APIKey], a *[Certificate],
// or whatever else has a certificate, say in a hardware token. They must be
// safe for concurrent use and must not print secrets.
type Credentials interface {
	// Identity returns what policies name, see [Identity].
	Identity() string
	// NotAfter returns when servers may begin to refuse the certificate; zero
	// if never.
	NotAfter() time.Time
	// Certificate returns what a new connection shows.
	Certificate() (*tls.Certificate, error)
}

// Identity returns the identity of a certificate: the SHA-256 of its public
// key (the DER of the SubjectPublicKeyInfo) in lower-case hex. A renewed
// certificate of the same key has the same (KES spec section 2.2).
func Identity(c *x509.Certificate) string { return identityOf(c.RawSubjectPublicKeyInfo) }

func identityOf(spki []byte) string {
	sum := sha256.Sum256(spki)
	return hex.EncodeToString(sum[:])
}

// Certificate is a client certificate with its private key, from two PEM files
// that are read again when they change on disk.
type Certificate struct {
	certFile, keyFile string
	load              func() (*tls.Certificate, error) // has the password

	mu      sync.Mutex
	current *tls.Certificate
	seen    [2]fileState // of the files current came from
}

var _ Credentials = (*Certificate)(nil)

// Errors of LoadCertificate that have nothing to do with one file's syntax. All
// of its errors are *FileError.
var (
	// ErrCACertificate: KES servers discard certificates of CAs, and with it
	// who the client is.
	ErrCACertificate = errors.New("it is the certificate of a CA (basicConstraints CA:TRUE), which KES servers ignore; make one that is not (openssl req -x509 … -addext basicConstraints=critical,CA:FALSE)")
	// ErrSeveralCertificates: servers want one certificate, and those of CAs.
	ErrSeveralCertificates = errors.New("it has more than one certificate that is not of a CA")
	// ErrPasswordMissing: the key is encrypted. A wrong password is
	// x509.IncorrectPasswordError.
	ErrPasswordMissing = errors.New("the private key is encrypted, and there is no password")
	// ErrAdditionalData: a key file has one PEM block.
	ErrAdditionalData = errors.New("private key contains additional data")
)

// FileError tells which file of a certificate cannot be used.
type FileError struct {
	File string
	Err  error
}

func (e *FileError) Error() string {
	var path *os.PathError
	if errors.As(e.Err, &path) { // names the file already
		return e.Err.Error()
	}
	return fmt.Sprintf("%s: %v", e.File, e.Err)
}

func (e *FileError) Unwrap() error { return e.Err }

// LoadCertificate reads a certificate, which CA certificates may follow, and
// its private key. A password is for a key that is encrypted, in PKCS#8
// ("ENCRYPTED PRIVATE KEY") or in the old way of PEM ("Proc-Type: 4,ENCRYPTED",
// the only one MinIO knows); others ignore it. The files are looked at for
// every new connection, and read again when they changed; while they are no
// certificate and its key, as half-way through a renewal, the last one serves.
func LoadCertificate(certFile, keyFile, password string) (*Certificate, error) {
	c := &Certificate{
		certFile: certFile,
		keyFile:  keyFile,
		load:     func() (*tls.Certificate, error) { return loadCertificate(certFile, keyFile, password) },
	}
	c.seen = c.states()
	var err error
	c.current, err = c.load()
	if err != nil {
		return nil, err
	}
	return c, nil
}

// String tells whose certificate it is and nothing of the key.
func (c *Certificate) String() string { return "certificate of identity " + c.Identity() }

// GoString keeps %#v from the private key.
func (c *Certificate) GoString() string { return c.String() }

// Identity returns the identity of the certificate as it is now.
func (c *Certificate) Identity() string { return Identity(c.refresh().Leaf) }

// NotAfter returns when the certificate, as it is now, expires.
func (c *Certificate) NotAfter() time.Time { return c.refresh().Leaf.NotAfter }

// Certificate returns the certificate as it is on disk now.
func (c *Certificate) Certificate() (*tls.Certificate, error) { return c.refresh(), nil }

func (c *Certificate) refresh() *tls.Certificate {
	c.mu.Lock()
	defer c.mu.Unlock()
	if states := c.states(); states != c.seen {
		if next, err := c.load(); err == nil {
			c.current, c.seen = next, states
		}
	}
	return c.current
}

// fileState changes when a file does.
type fileState struct {
	modified int64
	size     int64
}

func (c *Certificate) states() (s [2]fileState) {
	for i, name := range []string{c.certFile, c.keyFile} {
		if info, err := os.Stat(name); err == nil {
			s[i] = fileState{info.ModTime().UnixNano(), info.Size()}
		}
	}
	return s
}

func loadCertificate(certFile, keyFile, password string) (*tls.Certificate, error) {
	certs, err := readFile(certFile)
	if err != nil {
		return nil, &FileError{certFile, err}
	}
	key, err := readKey(keyFile, password)
	if err != nil {
		return nil, &FileError{keyFile, err}
	}
	defer clear(key)
	if err := checkChain(certs); err != nil {
		return nil, &FileError{certFile, err}
	}
	pair, err := tls.X509KeyPair(certs, key) // sets Leaf
	if err != nil {
		return nil, &FileError{keyFile, err}
	}
	return &pair, nil
}

// checkChain wants what servers want: exactly one certificate that is not of a
// CA, in front (KES spec section 2.2).
func checkChain(text []byte) error {
	leaves, first := 0, true
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" {
			continue
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return err
		}
		if first && c.IsCA {
			return ErrCACertificate
		}
		if !c.IsCA {
			leaves++
		}
		first = false
	}
	switch leaves {
	case 0:
		return errors.New("it has no certificate")
	case 1:
		return nil
	}
	return ErrSeveralCertificates
}

// readKey returns the PEM of a private key, decrypted.
func readKey(name, password string) ([]byte, error) {
	text, err := readFile(name)
	if err != nil {
		return nil, err
	}
	block, rest := pem.Decode(text)
	if block == nil {
		return nil, errors.New("it has no private key")
	}
	if next, _ := pem.Decode(rest); next != nil {
		return nil, ErrAdditionalData
	}
	const encryptedPKCS8 = "ENCRYPTED PRIVATE KEY"
	//lint:ignore SA1019 MinIO takes keys in this encryption, and no other
	if block.Type != encryptedPKCS8 && !x509.IsEncryptedPEMBlock(block) {
		return text, nil
	}
	defer clear(text)
	if password == "" {
		return nil, ErrPasswordMissing
	}
	if block.Type == encryptedPKCS8 {
		der, err := decryptPKCS8(block.Bytes, []byte(password), maxIterations)
		if err != nil {
			return nil, err
		}
		defer clear(der)
		return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
	}
	//lint:ignore SA1019 as above; the key's own check finds what a wrong password lets through
	der, err := x509.DecryptPEMBlock(block, []byte(password))
	if err != nil {
		return nil, err
	}
	defer clear(der)
	return pem.EncodeToMemory(&pem.Block{Type: block.Type, Bytes: der}), nil
}

// readFile reads a PEM file, of at most 1 MiB.
func readFile(name string) ([]byte, error) {
	const most = 1 << 20
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, most+1))
	if err == nil && len(text) > most {
		err = errors.New("it is too long for a PEM file")
	}
	return text, err
}
